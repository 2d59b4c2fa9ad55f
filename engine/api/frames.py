"""Reads just enough of the console's websocket frames to tell a person from a timer, and writes one: go to a page.

The frames are protocol buffers of the pinned Streamlit version; tests compare these numbers with its definitions.
"""

from __future__ import annotations

from collections.abc import Iterator

CLEAR_CACHE = 5
SET_RUN_ON_SAVE = 6
RERUN_SCRIPT = 11
APP_HEARTBEAT = 17
IS_AUTO_RERUN = 6
AUTH_REDIRECT = 24
REFUSED = frozenset({CLEAR_CACHE, SET_RUN_ON_SAVE})
"""Messages no page of ours sends: they would wipe caches or change how the server runs."""


def is_refused(frame: bytes) -> bool:
    """Whether the frame asks for something that nobody may ask for."""
    return any(number in REFUSED for number, _ in _fields(frame))


def is_by_person(frame: bytes) -> bool:
    """Whether a person did something: a timer's refresh and a heartbeat keep no session alive; unknown counts."""
    for number, value in _fields(frame):
        if number == APP_HEARTBEAT:
            return False
        if number == RERUN_SCRIPT and isinstance(value, bytes):
            return not any(inner == IS_AUTO_RERUN and flag for inner, flag in _fields(value))
    return True


def redirect(address: str) -> bytes:
    """A frame that makes the browser open ``address`` (shorter than 120 bytes)."""
    target = address.encode()
    assert len(target) < 120, "lengths from 128 on take two bytes"
    inner = bytes((0x0A, len(target))) + target
    return bytes((0xC2, 0x01, len(inner))) + inner


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a message; ends silently where the bytes make no sense."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
        elif kind == 2:
            length, position = _varint(data, position)
            yield key >> 3, data[position : position + length]
            position += length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            return


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, position
