"""A small memory of what was asked for last: costly to read, never changed, and too large to keep all of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Latest(Generic[Key, Value]):
    """The values of the keys that were used last; used by any thread.

    Parameters
    ----------
    most : int
        How many are kept, 1 or more.

    Examples
    --------
    >>> memory = Latest[str, int](2)
    >>> for place, name in enumerate("abc"):
    ...     memory.put(name, place)
    >>> memory.get("a"), memory.get("c")
    (None, 2)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """The value, None where it is not kept (any more)."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; what was not used for longest makes room."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Forget a value, if it is kept."""
        with self._lock:
            self._values.pop(key, None)
