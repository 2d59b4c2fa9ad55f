"""What the gateway refuses at the door, and what it makes of the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.errors import VenueRejected, VenueUnreachable
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import FillCause, OrderState, OrderType, Purpose, Side
from engine.exchanges.connected.causes import cause_of
from engine.exchanges.connected.dialects import Dialect, Wallet
from engine.exchanges.connected.placing import Listed, Wish, placement
from engine.exchanges.connected.reading import Reader, with_sizes
from engine.exchanges.connected.venue_rows import BINANCE, BYBIT, KUCOIN_PERP

from connected_case import intent  # isort: skip

AT = datetime(2026, 11, 21, tzinfo=UTC)
ORDER = {
    "id": "1", "clientOrderId": "c", "symbol": "BTC/USDT", "side": "sell", "status": "open", "amount": "0.5",
    "filled": "0", "timestamp": 1_795_000_000_000, "info": {},
}  # fmt: skip
POSITION = {"symbol": "BTC/USDT:USDT", "contracts": "3", "side": "long", "entryPrice": "100", "info": {}}


def _reader(dialect: Dialect = BINANCE.dialect) -> Reader:
    return Reader("binance", dialect, lambda: AT)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"id": None}, "without an order number"),
        ({"filled": "NaN"}, "NaN"),
        ({"filled": "-1"}, "-1"),
        ({"amount": "Infinity"}, "Infinity"),
        ({"status": "closed", "filled": None}, "not how much"),
        ({"status": "haunted"}, "haunted"),
        ({"side": "both"}, "both"),
        ({"timestamp": "soon"}, "soon"),
    ],
)
def test_order_when_a_part_cannot_be_then_it_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(VenueUnreachable, match=why):
        _reader().report({**ORDER, **changes})


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("open", "0", OrderState.WORKING),
        ("open", "0.2", OrderState.PARTIAL),
        ("closed", "0.5", OrderState.FILLED),
        ("closed", "0.2", OrderState.CANCELLED),
        ("canceled", "0.5", OrderState.FILLED),
        ("expired", "0.2", OrderState.CANCELLED),
        ("rejected", "0", OrderState.REJECTED),
        ("rejected", "0.2", OrderState.CANCELLED),
        ("canceling", "0", OrderState.PENDING_CANCEL),
    ],
)
def test_order_when_it_has_a_status_then_the_filled_amount_decides(status: str, filled: str, state: OrderState) -> None:
    assert _reader().report({**ORDER, "status": status, "filled": filled}).state is state


def test_order_when_only_acknowledged_then_it_has_no_state_and_the_exchanges_present_time() -> None:
    told = _reader().report({"id": "1", "info": {}})
    assert (told.state, told.filled, told.at) == (None, Decimal(0), AT)


def test_order_when_counted_in_contracts_then_told_in_base() -> None:
    told = _reader().report({**ORDER, "filled": "0.2", "contractSize": "0.1"})
    assert (told.quantity, told.filled) == (Decimal("0.05"), Decimal("0.02"))


@pytest.mark.parametrize("answer", ["<html>", None, [], 7])
def test_anything_when_it_is_no_mapping_then_it_is_refused(answer: Any) -> None:
    for read in (_reader().report, _reader().trade, _reader().funding, _reader().position):
        with pytest.raises(VenueUnreachable):
            read(answer)


@pytest.mark.parametrize("changes", [{"side": None}, {"entryPrice": "0"}, {"contracts": "NaN"}, {"symbol": None}])
def test_position_when_a_part_cannot_be_then_it_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(VenueUnreachable):
        _reader().position({**POSITION, **changes})


def test_position_when_closed_then_there_is_none() -> None:
    assert _reader().position({**POSITION, "contracts": "0", "side": None, "entryPrice": None}) is None


@pytest.mark.parametrize("total", ["NaN", "much", None])
def test_balance_when_an_amount_is_no_number_then_it_is_refused(total: Any) -> None:
    with pytest.raises(VenueUnreachable):
        _reader().balances({"total": {"BTC": total}, "free": {}, "info": {}}, Wallet())


def test_balance_when_a_coin_is_owed_then_it_is_told_below_zero() -> None:
    [told] = _reader().balances({"total": {"BTC": "-0.5", "USDT": "0"}, "free": {}, "info": {}}, Wallet())
    assert (told.currency, told.total) == ("BTC", Decimal("-0.5"))


@pytest.mark.parametrize("rows", ["<html>", {"a": 1}, [1], None])
def test_rows_when_they_are_none_then_they_are_refused(rows: Any) -> None:
    with pytest.raises(VenueUnreachable):
        with_sizes(object(), rows)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Trade", FillCause.TRADE),
        ("BustTrade", FillCause.LIQUIDATION),
        ("AdlTrade", FillCause.DELEVERAGING),
        ("adl_autoclose", FillCause.DELEVERAGING),
        ("autoclose-17", FillCause.LIQUIDATION),
        ("settlement", FillCause.SETTLEMENT),
        ("t1x7k2p00010000001", FillCause.TRADE),
    ],
)
def test_cause_when_an_exchange_names_it_then_it_is_known(words: str, cause: FillCause) -> None:
    assert cause_of(words) is cause


def _perp(lot: str = "0.001", size: str = "1") -> Listed:
    made = Instrument("bybit", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal(lot))
    return Listed(made, Decimal(size))


def _wish(quantity: str, *, stop: str | None = None, reduce_only: bool = False) -> Wish:
    kind = OrderType.STOP if stop else OrderType.MARKET
    wanted = intent(1, "BTC/USDT:USDT", Side.SELL, quantity, kind, Purpose.STOP, stop_price=stop)
    return Wish(wanted, wanted.client_id, Decimal(quantity), wanted.stop_price, reduce_only)


def test_placement_when_a_stop_then_the_direction_it_is_reached_from_is_said() -> None:
    placed = placement(_wish("0.01", stop="95", reduce_only=True), _perp(), BYBIT.dialect)
    assert (placed.type, placed.amount, placed.price) == ("market", "0.01", None)
    assert placed.parameters["triggerPrice"] == "95"
    assert placed.parameters["triggerDirection"] == "descending"
    assert placed.parameters["reduceOnly"] is True


def test_placement_when_contracts_are_whole_then_the_quantity_is_cut_to_them() -> None:
    placed = placement(_wish("0.25"), _perp("0.1", "0.1"), KUCOIN_PERP.dialect)
    assert placed.amount == 2
    with pytest.raises(VenueRejected, match="smallest quantity"):
        placement(_wish("0.05"), _perp("0.1", "0.1"), KUCOIN_PERP.dialect)
