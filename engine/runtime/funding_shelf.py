"""Funding rates that were imported, one file for each perpetual, for replays of stored candles."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.domain.errors import BadInput, StorageError
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.market.funding import FundingSeries
from engine.storage.candle_import import FundingFile
from engine.storage.candle_segments import folder_name, locked, write_atomic
from engine.storage.record_folder import recorded


class FundingShelf:
    """Reads and writes the funding files under one folder.

    Parameters
    ----------
    root : Path
        Made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def merge(self, file: FundingFile) -> int:
        """Add rates, the new ones winning over stored ones of the same instant; how many are stored now.

        Raises
        ------
        BadInput
            The instrument cannot be named on disk.
        CannotRecord
            The folder is read-only or full; nothing was changed.
        """
        path = self._path(file.instrument)
        with recorded(self._root):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.parent):
                known = self.read(file.instrument)
                rates = dict(zip(known.at_ms.tolist(), known.rates, strict=True)) if known is not None else {}
                rates |= dict(zip(file.series.at_ms.tolist(), file.series.rates, strict=True))
                write_atomic(path, _bytes(rates))
        return len(rates)

    def read(self, key: InstrumentKey) -> FundingSeries | None:
        """What is stored of a perpetual, None if nothing; raises `StorageError` where the file is damaged."""
        path = self._path(key)
        try:
            table = pq.read_table(pa.BufferReader(path.read_bytes()), use_threads=False)
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"{path} is damaged ({error}); delete it and import the funding again") from error
        at_ms = np.array(table.column("at_ms").to_numpy(), dtype=np.int64)
        return FundingSeries(at_ms, tuple(Decimal(text) for text in table.column("rate").to_pylist()))

    def funding_of(
        self, instruments: Iterable[Instrument], *, without: bool
    ) -> dict[InstrumentKey, FundingSeries | None]:
        """Funding of every perpetual among the instruments; None for all of them where they shall pay none.

        Raises
        ------
        BadInput
            Nothing is stored of one; the message says what to import.
        """
        perpetuals = [instrument for instrument in instruments if instrument.kind is Kind.PERPETUAL]
        if without:
            return {instrument.key: None for instrument in perpetuals}
        return {instrument.key: self._required(instrument) for instrument in perpetuals}

    def _required(self, instrument: Instrument) -> FundingSeries:
        series = self.read(instrument.key)
        if series is None:
            name = f"{instrument.base}_{instrument.quote}_{instrument.quote}-funding.parquet"
            raise BadInput(
                f"{instrument.key} is a perpetual and no funding of it is stored: import its rates on the Data page "
                f"(a file such as {name} with the columns timestamp and funding_rate), or replay it without funding"
            )
        return series

    def _path(self, key: InstrumentKey) -> Path:
        venue, _, symbol = key.partition(":")
        name = "_".join(map(folder_name, re.split("[/:]", symbol)))
        return self._root / f"venue-{folder_name(venue)}" / f"{name}.parquet"


def _bytes(rates: dict[int, Decimal]) -> bytes:
    ordered = sorted(rates)
    texts = [str(rates[at_ms]) for at_ms in ordered]
    table = pa.table({"at_ms": pa.array(ordered, pa.int64()), "rate": pa.array(texts, pa.string())})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())
