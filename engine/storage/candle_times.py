"""Reading a column of times that may be milliseconds, seconds or dates, and refusing to guess."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.domain.errors import CandleError
from engine.domain.market import IntArray
from engine.market.checks import EARLIEST_MS, LATEST_MS
from engine.storage.candle_columns import TIMESTAMP

_WANTED = "give milliseconds since 1970 UTC, seconds, or dates with a time zone such as 2024-01-31T00:00:00Z"
_ZONED = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})$"
_EXACT_FLOAT = 2.0**53


class TimeReader:
    """Turns the chunks of one file's time column into ms UTC; the unit is settled by the first chunk.

    Seconds and milliseconds of 2001 to 2099 cannot be mistaken for each other; anything else whole is left as it is
    for the checks to reject, as long as the unit is clear.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._unit_ms: int | None = None

    def read(self, column: pa.Array) -> IntArray:
        """int64[n] in ms UTC.

        Raises
        ------
        CandleError
            The values are of no known or of mixed units, or dates without a time zone; the message holds the value.
        """
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._text(column)
        if pa.types.is_timestamp(kind):
            if kind.tz is None:
                raise self._refused(column[0] if len(column) else "", "is a date without a time zone")
            return self._dates(column)
        if pa.types.is_integer(kind):
            return self._numbers(_whole(column))
        if pa.types.is_floating(kind):
            return self._floats(column)
        raise CandleError(f"{self._name}: column {TIMESTAMP} holds {kind}; {_WANTED}")

    def _text(self, column: pa.Array) -> IntArray:
        text = pc.utf8_trim_whitespace(column.fill_null(""))
        digits = pc.match_substring_regex(text, r"^\d{1,18}$").to_numpy(zero_copy_only=False)
        zoned = pc.match_substring_regex(text, _ZONED).to_numpy(zero_copy_only=False)
        strange = np.flatnonzero(~(zoned | digits))
        if len(strange):
            raise self._refused(text[int(strange[0])], "is neither a whole number nor a date with a time zone")
        if digits.all():
            return self._numbers(_whole(text))
        if not zoned.all():
            raise self._refused(text[int(np.flatnonzero(zoned)[0])], "is a date among numbers")
        return self._dates(text)

    def _dates(self, column: pa.Array) -> IntArray:
        if self._unit_ms not in (None, 1):
            raise self._refused(column[0], "is a date among numbers")
        self._unit_ms = 1
        return _whole(column.cast(pa.timestamp("ms", tz="UTC"), safe=False))

    def _floats(self, column: pa.Array) -> IntArray:
        values = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        strange = np.flatnonzero(~(np.abs(values) < _EXACT_FLOAT) | (values != np.rint(values)))
        if len(strange):
            raise self._refused(values[strange[0]], "is not a whole number")
        return self._numbers(values.astype(np.int64))

    def _numbers(self, values: IntArray) -> IntArray:
        if len(values) == 0:
            return values
        as_ms = (values >= EARLIEST_MS) & (values < LATEST_MS)
        as_seconds = (values >= EARLIEST_MS // 1000) & (values < LATEST_MS // 1000)
        if self._unit_ms is None:
            if not as_ms.any() and not as_seconds.any():
                raise self._refused(values[0], "is neither seconds nor milliseconds of 2001 to 2099")
            self._unit_ms = 1 if as_ms.any() else 1000
        mixed = np.flatnonzero(as_seconds if self._unit_ms == 1 else as_ms)
        if len(mixed):
            unit = "milliseconds" if self._unit_ms == 1 else "seconds"
            raise self._refused(values[mixed[0]], f"is not in {unit} like the others")
        # Outside the years a candle can be of: kept apart from the unit, so that no product can overflow.
        return values if self._unit_ms == 1 else np.where(as_seconds, values, 0) * 1000

    def _refused(self, value: object, why: str) -> CandleError:
        return CandleError(f"{self._name}: {TIMESTAMP} {str(value)[:60]!r} {why}; {_WANTED}")


def _whole(column: pa.Array) -> IntArray:
    values: IntArray = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return values
