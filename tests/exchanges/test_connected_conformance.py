"""Every venue row, with ccxt's own reading of answers in the exchange's documented shapes: one behaviour for all."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest
from connected_case import client_id, intent, quiet
from connected_shapes import AT_MS, FILLED, HIS, MINE, NUMBER, SHAPES, SITUATIONS, TRADE, Answer, Shapes, Wires
from exchange_stand_in import MovedClock

from engine.domain.errors import (
    BadInput,
    OrderNotFound,
    VenueAmbiguous,
    VenueRejected,
    VenueUnreachable,
)
from engine.domain.instruments import Kind
from engine.domain.market import to_ms
from engine.domain.orders import (
    Approved,
    CashFlow,
    Fill,
    FundingPaid,
    Liquidity,
    OrderIntent,
    OrderState,
    OrderType,
    Purpose,
    Side,
)
from engine.exchanges import EXCHANGES
from engine.exchanges.connected.dialects import Amending, VenueRow
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import LineSetup
from engine.exchanges.connected.listing import read_listed
from engine.exchanges.connected.venue import ConnectedVenue

ROWS = {venue.name: (row, venue) for row in EXCHANGES.values() for venue in row.venues}
PERPS = [name for name, (_, venue) in ROWS.items() if Kind.PERPETUAL in venue.kinds]
EVERY = pytest.mark.parametrize("name", sorted(ROWS))
POST_ONLY = {
    "binance": ("type", "LIMIT_MAKER"),
    "binance-perp": ("timeInForce", "GTX"),
    "bybit": ("timeInForce", "PostOnly"),
    "kucoin": ("postOnly", "true"),
    "kucoin-perp": ("postOnly", "true"),
    "kraken": ("oflags", "post"),
    "kraken-perp": ("orderType", "post"),
    "coinbase": ("post_only", "true"),
}
"""What a limit that only waits is called at each exchange: field and value."""
EVERY_PERP = pytest.mark.parametrize("name", sorted(PERPS))
SECRET = base64.b64encode(b"a secret that signs and is never shown").decode()
HTML = Answer("<!DOCTYPE html><html><body>Bad gateway</body></html>")


@dataclass
class Shaped:
    """A venue whose answers are written down."""

    row: VenueRow
    shapes: Shapes
    wires: Wires
    line: Line
    intents: dict[str, OrderIntent] = field(default_factory=dict)
    venue: Any = None

    def key(self) -> str:
        return f"{self.row.name}:{self.shapes.market['symbol']}"

    def wanted(
        self, order_type: OrderType = OrderType.LIMIT, purpose: Purpose = Purpose.EXIT, **more: Any
    ) -> OrderIntent:
        if order_type is OrderType.LIMIT:
            more.setdefault("limit_price", "100")
        made: OrderIntent = intent(1, self.key(), Side.SELL, "0.5", order_type, purpose, reference_price="100", **more)
        self.intents[made.client_id] = made
        return made

    def answer(self, routes: dict[str, Any]) -> None:
        self.wires.routes = {**deepcopy(routes), **self.wires.routes, **deepcopy(routes)}

    def submit(self, wanted: OrderIntent | None = None) -> Any:
        return self.venue.submit(Approved(wanted or self.wanted()))


@pytest.fixture
def shaped(tmp_path: Path) -> Iterator[Callable[[str], Shaped]]:
    lines: list[Line] = []
    clock = MovedClock(AT_MS + 60_000)

    def make(name: str) -> Shaped:
        exchange_row, row = ROWS[name]
        shapes, wires = SHAPES[name], Wires()

        def opened(_keyed: bool) -> Any:
            keys = {"apiKey": "the-api-key", "secret": SECRET, "password": "phrase", "enableRateLimit": False}
            client = getattr(ccxt, row.ccxt_id)(keys)
            client.number = str
            client.enableLastJsonResponse = client.enableLastResponseHeaders = True
            client.options |= dict(row.dialect.options)
            client.session.close()
            client.session = wires
            client.set_markets([deepcopy(dict(shapes.market))])
            return client

        setup = LineSetup(
            name,
            exchange_row,
            opened,
            tmp_path / f"{name}.json",
            (SECRET,),
            doubtful_codes=row.limits.doubtful_codes,
            refusals=row.limits.refusals,
        )
        line = Line(setup, clock)
        lines.append(line)
        listed = read_listed(row, {shapes.market["symbol"]: shapes.market}, [shapes.market["symbol"]])
        case = Shaped(row, shapes, wires, line)
        case.venue = ConnectedVenue(row, line, listed, clock, case.intents.get)
        wires.routes = {**dict([shapes.create, shapes.cancel]), **shapes.flows(False)}
        return case

    yield make
    for line in lines:
        line.close()


def test_rows_when_counted_then_each_has_its_shapes() -> None:
    assert set(ROWS) == set(SHAPES)
    assert all(len(set(names)) == 1 for names in zip(ROWS, (v.name for _, v in ROWS.values()), strict=True))


@EVERY
def test_submit_when_accepted_then_the_client_id_was_sent_and_the_order_works(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    told = case.submit()
    assert case.wires.sent(case.shapes.create[0].split()[1])[case.shapes.client_id_field] == MINE == client_id(1)
    assert (told.state, told.venue_order_id, told.filled) == (OrderState.WORKING, NUMBER, 0)


@EVERY
def test_submit_when_a_page_of_html_answers_then_it_is_ambiguous(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.answer({case.shapes.create[0]: HTML})
    with pytest.raises(VenueAmbiguous):
        case.submit()


@EVERY
def test_submit_when_the_answer_names_no_order_then_it_is_ambiguous(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.answer({case.shapes.create[0]: {"retCode": 0, "code": "200000", "error": [], "success": True}})
    if name == "coinbase":
        case.answer({case.shapes.create[0]: {"success": True, "success_response": {}}})
    with pytest.raises(VenueAmbiguous):
        case.submit()


@EVERY
def test_submit_when_the_balance_is_short_then_it_is_rejected_in_the_exchanges_words(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.answer(dict([case.shapes.short]))
    with pytest.raises(VenueRejected, match=r"(?i)insufficient|not enough") as refused:
        case.submit()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["binance", "binance-perp"])
@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, -9999, VenueRejected),
        (404, -5000, VenueRejected),
        (408, -9999, VenueAmbiguous),
        (503, -9999, VenueAmbiguous),
        (400, -1000, VenueAmbiguous),
        (400, -1007, VenueAmbiguous),
    ],
)
def test_submit_when_binance_refuses_with_a_code_nobody_has_a_name_for_then_its_number_decides(
    name: str, status: int, code: int, outcome: type[Exception], shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.answer({case.shapes.create[0]: Answer({"code": code, "msg": "Some new rule."}, status)})
    with pytest.raises(outcome, match="Some new rule") as raised:
        case.submit()
    assert type(raised.value) is outcome


@EVERY
def test_submit_when_a_stop_then_it_waits_at_the_exchange(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    route, body = case.shapes.stop_create or case.shapes.create
    case.answer({route: body})
    told = case.submit(case.wanted(OrderType.STOP, Purpose.STOP, stop_price="95.5"))
    sent = case.wires.sent(route.split()[1])
    parameter, value = case.shapes.stop_field
    if "order_configuration" in sent:
        sent = sent["order_configuration"]["stop_limit_stop_limit_gtc"]
    assert Decimal(sent[parameter]) == Decimal(value)
    assert (told.state, told.stop_price) == (OrderState.WORKING, Decimal("95.5"))


@EVERY
def test_submit_when_post_only_then_the_exchange_is_told_in_its_own_words(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.submit(replace(case.wanted(), post_only=True))
    field, value = POST_ONLY[name]
    sent = case.wires.sent(case.shapes.create[0].split()[1])
    if "order_configuration" in sent:
        sent = sent["order_configuration"]["limit_limit_gtc"]
    assert str(sent[field]).lower() == value.lower()


@EVERY_PERP
def test_submit_when_reduce_only_then_the_exchange_is_told(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.submit(case.wanted(reduce_only=True))
    assert str(case.wires.sent(case.shapes.create[0].split()[1])["reduceOnly"]).lower() == "true"


@pytest.mark.parametrize("name", [name for name in sorted(ROWS) if name not in PERPS])
def test_submit_when_spot_then_no_exchange_hears_of_reduce_only(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.submit(case.wanted(reduce_only=True))
    sent = case.wires.sent(case.shapes.create[0].split()[1])
    assert not {"reduceOnly", "reduce_only"} & set(sent)


@EVERY
@pytest.mark.parametrize("situation", SITUATIONS)
def test_order_when_asked_for_then_its_end_is_judged_by_what_was_filled(
    name: str, situation: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.submit()
    case.answer(case.shapes.order(situation))
    told = case.venue.order(MINE)
    states = {
        "open": OrderState.WORKING,
        "part": OrderState.PARTIAL,
        "filled": OrderState.FILLED,
        "cut": OrderState.CANCELLED,
        "cancelled": OrderState.CANCELLED,
    }
    assert (told.state, told.filled) == (states[situation], Decimal(FILLED[situation]))
    assert told.venue_order_id == NUMBER
    assert told.at.tzinfo is not None


@EVERY
def test_order_when_of_before_a_restart_then_it_is_found_by_its_own_id(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.wanted()
    case.answer(case.shapes.order("part"))
    told = case.venue.order(MINE)
    assert (told.state, told.filled, told.venue_order_id) == (OrderState.PARTIAL, Decimal("0.2"), NUMBER)


@EVERY
def test_order_when_the_exchange_has_none_then_it_is_not_found(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.wanted()
    case.answer(case.shapes.missing)
    with pytest.raises(OrderNotFound):
        case.venue.order(MINE)


@EVERY
def test_order_when_a_page_of_html_answers_then_nothing_is_concluded(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.wanted()
    case.answer(dict.fromkeys(case.shapes.missing, HTML))
    with pytest.raises(VenueUnreachable):
        case.venue.order(MINE)


@EVERY
def test_cancel_when_accepted_then_the_exchange_is_asked_what_was_filled(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.submit()
    case.answer(case.shapes.order("cut"))
    ended = case.venue.cancel(MINE)
    assert (ended.state, ended.filled) == (OrderState.CANCELLED, Decimal("0.2"))
    sent = str(case.wires.sent(case.shapes.cancel[0].split()[1])) + str(case.wires.asked)
    assert MINE in sent or NUMBER in sent


@EVERY
def test_cancel_when_the_answer_is_no_answer_then_it_is_ambiguous(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.submit()
    case.answer({case.shapes.cancel[0]: HTML})
    with pytest.raises(VenueAmbiguous):
        case.venue.cancel(MINE)


@EVERY
def test_open_orders_when_listed_then_ours_and_the_traders_own_appear(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.wanted()
    case.answer(case.shapes.open_orders)
    found = {update.client_id: update for update in case.venue.open_orders()}
    assert set(found) == {MINE, HIS}
    assert (found[MINE].state, found[MINE].filled) == (OrderState.PARTIAL, Decimal("0.2"))
    assert (found[HIS].state, found[HIS].venue_order_id) == (OrderState.WORKING, "5")
    assert {update.instrument for update in found.values()} == {case.key()}


@EVERY
def test_open_orders_when_a_page_of_html_answers_then_it_is_an_error(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.answer(dict.fromkeys(case.shapes.open_orders, HTML))
    with pytest.raises(VenueUnreachable):
        case.venue.open_orders()


@EVERY
def test_executions_when_told_then_they_are_fills_in_base_with_their_fee(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.submit()
    case.answer(case.shapes.trades)
    [fill], cursor = case.venue.executions_since("")
    assert isinstance(fill, Fill)
    assert (fill.client_id, fill.venue_order_id, fill.instrument) == (MINE, NUMBER, case.key())
    assert (fill.side, fill.quantity, fill.price) == (Side.SELL, Decimal("0.2"), Decimal(100))
    assert fill.trade_id.endswith(TRADE)
    assert (":" in fill.trade_id) == case.row.dialect.trades.numbered_by_symbol
    assert fill.liquidity is Liquidity.MAKER
    assert fill.fee > 0
    assert abs(to_ms(fill.at) - AT_MS) < 1000
    assert case.venue.executions_since(cursor)[0] == []


GONE = {
    "binance": {"GET /api/v3/order": Answer({"code": -2013, "msg": "Order does not exist."}, 400)},
    "binance-perp": {"GET /fapi/v1/order": Answer({"code": -2013, "msg": "Order does not exist."}, 400)},
    "kucoin": {f"GET /api/v1/orders/{NUMBER}": Answer({"code": "400100", "msg": "order not exist."})},
    "kucoin-perp": {f"GET /api/v1/orders/{NUMBER}": Answer({"code": "100001", "msg": "error.getOrder.orderNotExist"})},
    "kraken": {"POST /0/private/QueryOrders": {"error": [], "result": {}}},
    "coinbase": {
        f"GET /api/v3/brokerage/orders/historical/{NUMBER}": {"order": {"order_id": NUMBER, "status": "OPEN"}}
    },
}


@EVERY
def test_executions_when_of_the_traders_own_order_then_they_are_told_and_never_dropped(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.answer({**case.shapes.trades, **GONE.get(name, {})})
    [fill], _ = case.venue.executions_since("")
    assert isinstance(fill, Fill)
    assert (fill.quantity, fill.client_id in (MINE, NUMBER)) == (Decimal("0.2"), True)


@EVERY
def test_executions_when_the_order_cannot_be_asked_about_then_nothing_is_told(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    if name not in GONE:
        pytest.skip("its executions carry the client id")
    case = shaped(name)
    case.answer({**case.shapes.trades, **dict.fromkeys(GONE[name], HTML)})
    with pytest.raises(VenueUnreachable):
        case.venue.executions_since("")


@EVERY
@pytest.mark.parametrize("bad", ["NaN", "0", "-3", ""])
def test_executions_when_a_price_cannot_be_then_nothing_is_told(
    name: str, bad: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.submit()
    case.answer({route: _with_price(body, bad) for route, body in case.shapes.trades.items()})
    with pytest.raises(VenueUnreachable):
        case.venue.executions_since("")


def _with_price(body: Any, price: str) -> Any:
    """The same answer with another price of the execution."""
    if callable(body):
        return lambda query: _with_price(body(query), price)
    if isinstance(body, dict):
        return {k: price if k in ("price", "execPrice") else _with_price(v, price) for k, v in body.items()}
    return [_with_price(each, price) for each in body] if isinstance(body, list) else body


@EVERY
def test_executions_when_a_page_of_html_answers_then_it_is_an_error_and_never_empty(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.answer(dict.fromkeys(case.shapes.trades, HTML))
    with pytest.raises(VenueUnreachable):
        case.venue.executions_since("")


@EVERY_PERP
def test_executions_when_funding_was_paid_then_it_is_booked_as_paid(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.answer(case.shapes.funding)
    [paid], cursor = case.venue.executions_since("")
    assert isinstance(paid, FundingPaid)
    assert (paid.amount, paid.instrument) == (Decimal("-0.0125"), case.key())
    assert paid.currency == case.shapes.market["quote"]
    assert to_ms(paid.at) == AT_MS
    assert case.venue.executions_since(cursor)[0] == []


@pytest.mark.parametrize("name", [name for name in sorted(ROWS) if ROWS[name][1].dialect.flows])
def test_executions_when_the_trader_paid_in_then_it_is_told_as_his_own(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.answer({**_without_rows(case), **case.shapes.flows(True)})
    [flow], cursor = case.venue.executions_since("")
    assert isinstance(flow, CashFlow)
    assert (flow.amount, flow.currency, flow.own) == (Decimal(5), "USDT", True)
    assert to_ms(flow.at) == AT_MS
    assert case.venue.executions_since(cursor)[0] == []


@pytest.mark.parametrize("name", [name for name in sorted(ROWS) if ROWS[name][1].dialect.flows])
def test_executions_when_deposits_cannot_be_read_then_fills_are_told_all_the_same(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    if name == "binance-perp":
        pytest.skip("funding and transfers are one list there")
    case = shaped(name)
    case.submit()
    case.answer({**case.shapes.trades, **dict.fromkeys(case.shapes.flows(True), HTML)})
    [fill], _ = case.venue.executions_since("")
    assert isinstance(fill, Fill)


def _without_rows(case: Shaped) -> dict[str, Any]:
    """Lists of executions with nothing in them."""
    return {
        "binance": {"GET /api/v3/myTrades": []},
        "binance-perp": {"GET /fapi/v1/userTrades": []},
        "bybit": {"GET /v5/execution/list": {"retCode": 0, "result": {"list": [], "nextPageCursor": ""}}},
        "kucoin": {"GET /api/v1/fills": {"code": "200000", "data": {"items": []}}},
        "kucoin-perp": {
            "GET /api/v1/fills": {"code": "200000", "data": {"items": []}},
            "GET /api/v1/funding-history": {"code": "200000", "data": {"dataList": []}},
        },
        "kraken": {"POST /0/private/TradesHistory": {"error": [], "result": {"trades": {}, "count": 0}}},
    }[case.row.name]


@EVERY
def test_balances_when_told_then_open_gains_are_not_among_them(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.answer(case.shapes.balance)
    told = {balance.currency: balance for balance in case.venue.balances()}
    assert told[case.shapes.market["quote"]].total == Decimal("70.25")
    assert "OLD" not in told
    if name not in PERPS:
        assert (told["ABC"].total, told["ABC"].free) == (Decimal(2), Decimal("1.5"))
    assert case.venue.known_balances() == tuple(told[coin] for coin in sorted(told))


@EVERY
@pytest.mark.parametrize("nothing", [HTML, Answer({}), Answer({"retCode": 0, "result": {}, "error": [], "data": []})])
def test_balances_when_the_answer_holds_none_then_it_is_an_error(
    name: str, nothing: Answer, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.answer(dict.fromkeys(case.shapes.balance, nothing))
    with pytest.raises(VenueUnreachable):
        case.venue.balances()


@EVERY_PERP
def test_positions_when_told_then_they_are_signed_base(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.answer(case.shapes.positions)
    [position] = case.venue.positions()
    assert (position.instrument, position.quantity) == (case.key(), Decimal("-0.3"))
    assert position.entry_price == Decimal("101.5")


@EVERY_PERP
def test_positions_when_a_page_of_html_answers_then_it_is_an_error(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.answer(dict.fromkeys(case.shapes.positions, HTML))
    with pytest.raises(VenueUnreachable):
        case.venue.positions()


@pytest.mark.parametrize("name", [name for name in sorted(PERPS) if SHAPES[name].modes])
def test_modes_when_the_account_is_hedged_then_the_symbol_is_named(name: str, shaped: Callable[[str], Shaped]) -> None:
    case = shaped(name)
    case.answer(case.shapes.modes)
    [(key, problem)] = case.venue.mode_problems().items()
    assert key == case.key()
    assert "one-way" in problem


@pytest.mark.parametrize("name", [name for name in sorted(ROWS) if ROWS[name][1].dialect.amending is Amending.IN_PLACE])
def test_amend_when_in_place_then_the_exchange_is_told_quantity_and_stop(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.submit(case.wanted(OrderType.STOP, Purpose.STOP, stop_price="95.5"))
    assert case.shapes.edit is not None
    case.answer(dict([case.shapes.edit]))
    told = case.venue.amend(MINE, Decimal("0.4"), Decimal("96.5"))
    assert (told.quantity, told.stop_price, told.venue_order_id) == (Decimal("0.4"), Decimal("96.5"), NUMBER)
    sent = case.wires.sent(case.shapes.edit[0].split()[1])
    assert {"0.4", "96.5"} <= {str(value).rstrip("0").rstrip(".") for value in sent.values()}


@pytest.mark.parametrize("name", ["kucoin-perp"])
def test_submit_when_counted_in_contracts_then_the_quantity_is_converted(
    name: str, shaped: Callable[[str], Shaped]
) -> None:
    case = shaped(name)
    case.submit()
    assert case.wires.sent("/orders")["size"] == 5
    [instrument] = case.venue.instruments()
    assert instrument.lot_size == Decimal("0.1")


def test_order_when_a_triggered_stop_trades_under_another_number_then_that_tells_its_state(
    shaped: Callable[[str], Shaped],
) -> None:
    case = shaped("binance-perp")
    route, body = SHAPES["binance-perp"].stop_create or ("", {})
    case.answer({route: body})
    case.submit(case.wanted(OrderType.STOP, Purpose.STOP, stop_price="95.5"))
    triggered = {**body, "algoStatus": "TRIGGERED", "actualOrderId": NUMBER}
    case.answer({"GET /fapi/v1/algoOrder": triggered, **case.shapes.order("filled"), **case.shapes.trades})
    told = case.venue.order(MINE)
    assert (told.state, told.filled) == (OrderState.FILLED, Decimal("0.5"))
    [fill], _ = case.venue.executions_since("")
    assert fill.client_id == MINE


def test_order_when_a_stop_was_triggered_and_its_trade_is_not_told_yet_then_nothing_is_concluded(
    shaped: Callable[[str], Shaped],
) -> None:
    case = shaped("binance-perp")
    route, body = SHAPES["binance-perp"].stop_create or ("", {})
    case.answer({route: body, "GET /fapi/v1/algoOrder": {**body, "algoStatus": "TRIGGERED", "actualOrderId": ""}})
    case.submit(case.wanted(OrderType.STOP, Purpose.STOP, stop_price="95.5"))
    with pytest.raises(VenueUnreachable):
        case.venue.order(MINE)


def test_coinbase_when_a_market_buy_then_it_is_a_limit_above_that_ends_at_once(
    shaped: Callable[[str], Shaped],
) -> None:
    case = shaped("coinbase")
    wanted = intent(1, case.key(), Side.BUY, "0.5", OrderType.MARKET, Purpose.EXIT, reference_price="100")
    case.submit(wanted)
    sent = case.wires.sent("/api/v3/brokerage/orders")["order_configuration"]["sor_limit_ioc"]
    assert (sent["base_size"], sent["limit_price"]) == ("0.5", "102")


def test_listing_when_a_symbol_is_not_the_venues_then_it_is_refused_by_name() -> None:
    markets = {"ABC/USDT": SHAPES["binance"].market, "ABC/USDT:USDT": SHAPES["binance-perp"].market}
    with pytest.raises(BadInput, match="XYZ/USDT"):
        read_listed(ROWS["binance"][1], markets, ["XYZ/USDT"])
    with pytest.raises(BadInput, match="is for spot"):
        read_listed(ROWS["binance"][1], markets, ["ABC/USDT:USDT"])


def test_observe_when_nothing_has_come_then_nothing_is_told_or_asked(shaped: Callable[[str], Shaped]) -> None:
    case = shaped("bybit")
    assert tuple(case.venue.observe(quiet())) == ()
    assert case.wires.asked == []
