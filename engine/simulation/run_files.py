"""The folder of one replay: what was asked, how it goes, its curve and its fills; readable while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.domain.codec import utc_from_text, utc_text
from engine.domain.instruments import InstrumentKey
from engine.domain.market import FloatArray, IntArray
from engine.domain.orders import Fill
from engine.domain.views import EquityCurve, FillRow, PageOf
from engine.storage.record_folder import RecordFolder

BOOK = "replay"
_REQUEST, _PARTIAL, _RESULT = "request.json", "partial.json", "result.json"
_EQUITY, _LIVE_EQUITY, _FILLS = "equity.parquet", "live.parquet", "fills.parquet"
_MARKS = 4
_TEXTS = (
    "at", "instrument", "side", "quantity", "price", "fee", "fee_currency", "liquidity", "sleeve", "purpose",
    "client_id", "trade_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Curve:
    """Equity (base currency) and drawdown (share, negative) by market time; arrays of one length."""

    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray

    def __len__(self) -> int:
        return len(self.at_ms)

    def view(self, points: int, currency: str, samples: int | None = None) -> EquityCurve:
        """The curve as pages draw it, in about ``points`` samples."""
        thin = self.thinned(points)
        count = len(self) if samples is None else samples
        return EquityCurve(thin.at_ms, thin.equity, thin.drawdown, (), currency, count)

    def thinned(self, points: int) -> Curve:
        """At most ``points`` true samples: of each equal part the lowest, highest, deepest and last one.

        >>> line = Curve(np.arange(1000), np.arange(1000.0), np.zeros(1000))
        >>> len(line.thinned(100)) <= 100, int(line.thinned(100).at_ms[-1])
        (True, 999)
        """
        if len(self) <= points:
            return self
        edges = np.linspace(0, len(self), max(1, points // _MARKS) + 1).astype(np.intp)
        rows = set()
        for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            equity, drawdown = self.equity[first:stop], self.drawdown[first:stop]
            rows |= {first + int(equity.argmin()), first + int(equity.argmax()), first + int(drawdown.argmin())}
            rows.add(stop - 1)
        kept = np.array(sorted(rows), dtype=np.intp)
        return Curve(self.at_ms[kept], self.equity[kept], self.drawdown[kept])


@dataclass(frozen=True, slots=True)
class FillNote:
    """A fill with what the book knows of its order: the strategy, and what the order was for."""

    fill: Fill
    sleeve: str
    purpose: str


class RunFolder:
    """Reads and writes the files of one replay, each whole; ``result.json`` comes last and makes the run complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = RecordFolder(path, "delete the folder and run the replay again")

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Begin the run; raises `CannotRecord`."""
        self._files.write(_REQUEST, _json(request))

    def write_partial(self, summary: Mapping[str, Any], curve: Curve) -> None:
        """Publish how far a run is; raises `CannotRecord`."""
        self._files.write(_LIVE_EQUITY, _curve_bytes(curve))
        self._files.write(_PARTIAL, _json(summary))

    def write_result(self, summary: Mapping[str, Any], curve: Curve, fills: Sequence[FillNote]) -> None:
        """Complete the run; raises `CannotRecord`."""
        self._files.write(_EQUITY, _curve_bytes(curve))
        self._files.write(_FILLS, _fill_bytes(fills))
        self._files.write(_RESULT, _json(summary))
        for name in (_PARTIAL, _LIVE_EQUITY):
            self._files.remove(name)

    def request(self) -> dict[str, Any]:
        """What was asked for, empty before the run began; raises `StorageError` as every reader here."""
        return self._files.read(_REQUEST) or {}

    def result(self) -> dict[str, Any] | None:
        """What came of it, None while it is not complete."""
        return self._files.read(_RESULT)

    def partial(self) -> dict[str, Any] | None:
        """How far it is, None before the first word and once it is complete."""
        return self._files.read(_PARTIAL)

    def curve(self) -> Curve | None:
        """Equity so far, None before the first point."""
        for name in (_EQUITY, _LIVE_EQUITY):
            table = self._table(name)
            if table is not None:
                columns = [table.column(number).to_numpy() for number in range(3)]
                return Curve(*columns)
        return None

    def fills(self, page: int, size: int) -> PageOf[FillRow]:
        """Fills of a complete run, newest first; none before."""
        table = self._table(_FILLS)
        total = 0 if table is None else table.num_rows
        stop = max(0, total - (page - 1) * size)
        first = max(0, stop - size)
        if table is None or stop == first:
            return PageOf((), total, page, size)
        rows = table.slice(first, stop - first).to_pylist()
        return PageOf(tuple(_row(row) for row in reversed(rows)), total, page, size)

    def _table(self, name: str) -> pa.Table | None:
        try:
            return pq.read_table(pa.BufferReader((self.path / name).read_bytes()), use_threads=False)
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            raise self._files.damaged(name, error) from error


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, default=_plain, allow_nan=False, indent=1).encode()


def _plain(value: Any) -> str:
    return utc_text(value) if isinstance(value, datetime) else str(value)


def _curve_bytes(curve: Curve) -> bytes:
    columns = [pa.array(curve.at_ms), pa.array(curve.equity), pa.array(curve.drawdown)]
    return _parquet(pa.Table.from_arrays(columns, names=["at_ms", "equity", "drawdown"]))


def _fill_bytes(fills: Sequence[FillNote]) -> bytes:
    rows = [_texts(note) for note in fills]
    columns = [pa.array([row[number] for row in rows], pa.string()) for number in range(len(_TEXTS))]
    return _parquet(pa.Table.from_arrays(columns, names=list(_TEXTS)))


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _texts(note: FillNote) -> tuple[str, ...]:
    """Money as text: no float ever carries it."""
    fill = note.fill
    return (
        utc_text(fill.at), fill.instrument, fill.side.value, str(fill.quantity), str(fill.price), str(fill.fee),
        fill.fee_currency, fill.liquidity.value, note.sleeve, note.purpose, fill.client_id, fill.trade_id,
    )  # fmt: skip


def _row(texts: Mapping[str, str]) -> FillRow:
    return FillRow(
        at=utc_from_text(texts["at"]),
        book=BOOK,
        simulated=False,
        instrument=InstrumentKey(texts["instrument"]),
        side=texts["side"],
        quantity=Decimal(texts["quantity"]),
        price=Decimal(texts["price"]),
        fee=Decimal(texts["fee"]),
        fee_currency=texts["fee_currency"],
        liquidity=texts["liquidity"],
        sleeve=texts["sleeve"],
        purpose=texts["purpose"],
        client_id=texts["client_id"],
        trade_id=texts["trade_id"],
    )
