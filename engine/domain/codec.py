"""Facts and commands as plain JSON values and back, and the digest of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from engine.domain.commands import Command, CommandBody
from engine.domain.errors import StorageError
from engine.domain.facts import Fact
from engine.domain.orders import Fill

Storable = Fact | CommandBody
"""What `encode` takes: every journal fact, and every command body on its own."""

TAG = "type"
_Convert = Callable[[Any], Any]
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode(fact: Storable) -> dict[str, Any]:
    """A fact or command body as JSON values.

    Decimals become their own text, instants UTC text with microseconds, enums their value, tuples lists; the tag
    ``type`` names the class.

    Parameters
    ----------
    fact : Fact or CommandBody

    Raises
    ------
    StorageError
        The class is not a fact, or a time in it is naive.

    Examples
    --------
    >>> from engine.domain.commands import CancelOrder
    >>> encode(CancelOrder("demo", "d1"))
    {'type': 'CancelOrder', 'book': 'demo', 'client_id': 'd1'}
    """
    return _encode_by_type(fact)


def decode(data: Mapping[str, Any]) -> Storable:
    """The fact that `encode` was given. A missing field takes its default, so that older rows stay readable.

    Raises
    ------
    StorageError
        Unknown tag, unknown or missing field, or a value of the wrong form; the message names it.
    """
    fact: Storable = _decode_tagged(data, _tags())
    return fact


def decode_fact(text: str) -> Fact:
    """A journal row's payload as a fact; raises `StorageError` as `decode`, also for broken JSON."""
    return _decode_tagged(_parse(text), _fact_tags())  # type: ignore[no-any-return]


def decode_command(text: str) -> Command:
    """A stored command; raises `StorageError` if the text is anything else."""
    command = decode_fact(text)
    if not isinstance(command, Command):
        raise StorageError(f"a stored command is a {type(command).__name__}: {text[:200]}")
    return command


def to_json(data: Mapping[str, Any]) -> str:
    """Canonical JSON: sorted keys, no spaces, ASCII only, so that equal values are equal bytes.

    >>> to_json({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return _JSON.encode(data)


def digest_of(fills: Iterable[Fill]) -> str:
    """SHA-256 (hex) over the fills in order; equal runs give equal digests.

    One line each: instrument, side, quantity, price, fee, fee currency, market time, separated by commas, decimals
    without trailing zeros or exponent. No ids and no wall time take part.

    >>> digest_of([])
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    digest = hashlib.sha256()
    for fill in fills:
        line = (
            f"{fill.instrument},{fill.side.value},{plain(fill.quantity)},{plain(fill.price)},{plain(fill.fee)},"
            f"{fill.fee_currency},{utc_text(fill.at)}\n"
        )
        digest.update(line.encode())
    return digest.hexdigest()


def plain(number: Decimal) -> str:
    """A Decimal in the one way to write its value: no exponent, no trailing zeros, no negative zero; never rounded.

    >>> plain(Decimal("1.500")), plain(Decimal("1E+3")), plain(Decimal("-0.00"))
    ('1.5', '1000', '0')
    """
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def utc_text(at: datetime) -> str:
    """Aware datetime as UTC text of fixed width, so that text order is time order; `StorageError` if naive.

    >>> utc_text(datetime(2026, 1, 31, 12, tzinfo=UTC))
    '2026-01-31T12:00:00.000000Z'
    """
    zone = at.tzinfo
    if zone is None:
        raise StorageError(f"time {at.isoformat()} has no zone; give it one (UTC inside the engine)")
    if zone is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def utc_from_text(text: str) -> datetime:
    """Read what `utc_text` wrote; ValueError if the text is no instant.

    >>> utc_from_text("2026-01-31T12:00:00.000000Z").hour
    12
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"time {text} has no zone")
    return at.astimezone(UTC)


@cache
def _tags() -> dict[str, type]:
    return {kind.__name__: kind for kind in (*get_args(Fact), *get_args(CommandBody))}


@cache
def _fact_tags() -> dict[str, type]:
    return {kind.__name__: kind for kind in get_args(Fact)}


def _parse(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise StorageError(f"not JSON ({error}): {text[:200]!r}") from error
    if not isinstance(data, dict):
        raise StorageError(f"not a JSON object: {text[:200]!r}")
    return data


def _decimal_text(number: Decimal) -> str:
    return str(_finite(number))


def _finite(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise StorageError(f"{number} is not an amount; only finite numbers can be stored")
    return number


# Encoders: one per class, built from its type hints on first use. None means "JSON takes the value as it is".


@cache
def _tagged_encoder(kind: Any) -> Callable[[Any], dict[str, Any]]:
    name: str = kind.__name__
    if _tags().get(name) is not kind:
        raise StorageError(f"{name} is neither a fact nor a command body and cannot be stored")
    return _dataclass_encoder(kind, {TAG: name})


def _dataclass_encoder(kind: Any, start: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    hints = get_type_hints(kind)
    names = [item.name for item in fields(kind)]
    assert TAG not in names, f"{kind.__name__} has a field named {TAG}"
    plan = [(name, _encoder(hints[name])) for name in names]

    def run(value: Any) -> dict[str, Any]:
        data = start.copy()
        for name, convert in plan:
            item = getattr(value, name)
            data[name] = item if convert is None or item is None else convert(item)
        return data

    return run


@cache
def _encoder(hint: Any) -> _Convert | None:
    hint = getattr(hint, "__supertype__", hint)
    origin = get_origin(hint)
    if origin is tuple:
        return _tuple_encoder(hint)
    if origin in (Union, UnionType):
        return _union_encoder(hint)
    if _is_record(hint):
        return _dataclass_encoder(hint, {})
    if _is_choice(hint):
        return lambda item: item._value_
    if hint is Decimal:
        return _decimal_text
    if hint is datetime:
        return utc_text
    assert hint in (str, int, bool, float), f"the codec has no form for {hint}"
    return None


def _is_record(hint: Any) -> bool:
    return is_dataclass(hint)


def _is_choice(hint: Any) -> bool:
    return issubclass(hint, Enum)


def _union_encoder(hint: Any) -> _Convert | None:
    choices = [choice for choice in get_args(hint) if choice is not type(None)]
    if len(choices) == 1:
        return _encoder(choices[0])
    return _encode_by_type


def _encode_by_type(item: Any) -> dict[str, Any]:
    kind: Any = type(item)
    return _tagged_encoder(kind)(item)


def _tuple_encoder(hint: Any) -> _Convert:
    inner = get_args(hint)
    if inner[-1] is Ellipsis:
        convert = _encoder(inner[0])
        return list if convert is None else lambda items: [convert(item) for item in items]
    plan = [_encoder(part) for part in inner]
    return lambda items: [item if step is None else step(item) for item, step in zip(items, plan, strict=True)]


# Decoders mirror them, and check: what comes from a file is not trusted.


def _decode_tagged(data: Any, tags: Mapping[str, type]) -> Any:
    tag = data.get(TAG) if isinstance(data, Mapping) else None
    kind = tags.get(tag) if isinstance(tag, str) else None
    if kind is None:
        raise StorageError(f"unknown type tag {tag!r}; the row was written by a newer version or damaged")
    return _dataclass_decoder(kind)(data)


@cache
def _dataclass_decoder(kind: Any) -> _Convert:
    hints = get_type_hints(kind)
    plan = {item.name: _decoder(hints[item.name]) for item in fields(kind)}
    optional = {item.name for item in fields(kind) if item.default is not MISSING}

    def run(data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise StorageError(f"{kind.__name__} must be an object, not {data!r}")
        try:
            values = {name: plan[name](item) for name, item in data.items() if name != TAG}
        except KeyError as error:
            raise StorageError(f"{kind.__name__} has no field {error}; was it written by a newer version?") from error
        except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
            raise StorageError(f"{kind.__name__} holds a value of the wrong form: {error}") from error
        if missing := plan.keys() - values.keys() - optional:
            raise StorageError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
        return kind(**values)

    return run


@cache
def _decoder(hint: Any) -> _Convert:
    hint = getattr(hint, "__supertype__", hint)
    origin = get_origin(hint)
    if origin is tuple:
        return _tuple_decoder(hint)
    if origin in (Union, UnionType):
        return _union_decoder(hint)
    if _is_record(hint):
        return _dataclass_decoder(hint)
    if _is_choice(hint):
        return lambda item: hint(item)
    if hint is Decimal:
        return lambda item: _finite(Decimal(_checked(item, str)))
    if hint is datetime:
        return lambda item: utc_from_text(_checked(item, str))
    return lambda item: _checked(item, hint)


def _union_decoder(hint: Any) -> _Convert:
    choices = [choice for choice in get_args(hint) if choice is not type(None)]
    if len(choices) > 1:
        tags = {choice.__name__: choice for choice in choices}
        return lambda item: _decode_tagged(item, tags)
    convert = _decoder(choices[0])
    return lambda item: None if item is None else convert(item)


def _tuple_decoder(hint: Any) -> _Convert:
    inner = get_args(hint)
    if inner[-1] is Ellipsis:
        convert = _decoder(inner[0])
        return lambda items: tuple(convert(item) for item in _checked(items, list))
    plan = [_decoder(part) for part in inner]
    return lambda items: tuple(step(item) for item, step in zip(_checked(items, list), plan, strict=True))


def _checked(item: Any, kind: type) -> Any:
    if type(item) is kind or (kind is float and type(item) is int):
        return item
    raise TypeError(f"{item!r} is not {kind.__name__}")
