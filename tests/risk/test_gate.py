"""The gate: what passes, what is refused by name, what stays possible on the way out, and who may say yes."""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.commands import TradingState
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Timeframe
from engine.domain.orders import Approved, OrderIntent, OrderType, Purpose, Refused, Side
from engine.risk import REFERENCE_RULES, RULES
from engine.risk.gate import Gate, GateContext
from engine.risk.limits import RiskConfig, Sizer

D = Decimal
ENGINE = Path(__file__).resolve().parents[2] / "engine"


@pytest.fixture
def gate(config: RiskConfig) -> Gate:
    return Gate(config)


@pytest.fixture
def stop(entry: OrderIntent) -> OrderIntent:
    return replace(
        entry,
        side=Side.SELL,
        purpose=Purpose.STOP,
        order_type=OrderType.STOP,
        stop_price=D(50_000),
        reduce_only=True,
    )


@pytest.fixture
def holding(context: GateContext) -> GateContext:
    return replace(context, account_position=D("0.01"), sleeve_position=D("0.01"))


def rule_of(verdict: Approved | Refused) -> str:
    assert isinstance(verdict, Refused)
    return verdict.rule


def test_entry_when_all_is_well_then_approved_unchanged(gate: Gate, entry: OrderIntent, context: GateContext) -> None:
    assert gate.check(entry, context) == Approved(entry)


def test_entry_when_refused_then_says_who_what_where_and_when(
    gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    verdict = gate.check(entry, replace(context, day_loss=D("0.04")))
    assert verdict == Refused(
        entry.instrument,
        "momentum",
        Side.BUY,
        D("0.01"),
        "daily loss",
        "4.00 %",
        "3.00 %",
        "today's loss is 4.00 % of equity; entries stop at 3.00 %",
        context.now,
    )


ONE_FAULT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("state", {}, {"state": TradingState.CLOSE_ONLY}),
    ("instrument", {}, {"instrument": None}),
    ("venue", {}, {"venue_online": False}),
    ("price age", {}, {"price": None}),
    ("price band", {"reference_price": D(6_000)}, {}),
    ("precision", {"quantity": D("0.010000001")}, {}),
    ("min notional", {"quantity": D("0.00001")}, {}),
    ("stop", {}, {"stop_attached": False}),
    ("order rate", {}, {"orders_last_minute": 1_000}),
    ("daily loss", {}, {"day_loss": D(1)}),
    ("drawdown", {}, {"drawdown": D(1)}),
    ("value at risk", {}, {"daily_var": D(1)}),
    ("position", {"quantity": D("0.1")}, {}),
    ("exposure", {}, {"gross_exposure": D(10_000)}),
    ("concentration", {}, {"coin_exposure": D(4_000)}),
    ("free balance", {}, {"free_balance": D(1)}),
    ("coins", {"side": Side.SELL, "quantity": D("0.4")}, {}),
]


@pytest.mark.parametrize(("rule", "order", "world"), ONE_FAULT, ids=[case[0] for case in ONE_FAULT])
def test_entry_when_one_thing_is_wrong_then_that_rule_refuses(
    rule: str, order: Any, world: Any, gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    assert rule_of(gate.check(replace(entry, **order), replace(context, **world))) == rule


def test_entry_when_leverage_is_the_nearest_limit_then_it_refuses(entry: OrderIntent, context: GateContext) -> None:
    wide = Gate(RiskConfig(max_position_share=D(5), max_exposure=D(5), max_concentration=D(5)))
    assert rule_of(wide.check(replace(entry, quantity=D("0.2")), context)) == "leverage"


def test_entry_when_two_rules_object_then_the_first_of_the_registry_answers(
    gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    verdict = gate.check(entry, replace(context, state=TradingState.LOCKED, venue_online=False, equity=None))
    assert rule_of(verdict) == "state" == next(iter(RULES))


@pytest.mark.parametrize(
    "field",
    [
        field.name
        for field in fields(GateContext)
        if field.name
        not in {"now", "bar", "free_base", "sleeve_position", "parent_quantity", "daily_var", "base_currency"}
    ],
)
def test_entry_when_any_needed_fact_is_missing_then_refused(
    field: str, gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    missing: dict[str, Any] = {field: None}
    assert isinstance(gate.check(entry, replace(context, **missing)), Refused)


def test_entry_when_numbers_exceed_the_arithmetic_then_refused(
    gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    verdict = gate.check(replace(entry, quantity=D(1)), replace(context, coin_exposure=D("9E+999999")))
    assert isinstance(verdict, Refused)
    overflow = replace(context, gross_exposure=D(0), account_position=D("9E+999999"), free_balance=D("9E+999999"))
    assert rule_of(gate.check(entry, overflow)) == "position"


def test_weights_when_sizing_a_reference_then_only_what_the_venue_enforces_remains(
    entry: OrderIntent, context: GateContext
) -> None:
    gate = Gate(RiskConfig(sizer=Sizer.WEIGHTS))
    unlimited = replace(context, day_loss=None, drawdown=D(1), stop_attached=False, gross_exposure=None)
    assert isinstance(gate.check(replace(entry, quantity=D("0.16")), unlimited), Approved)
    assert rule_of(gate.check(replace(entry, quantity=D("0.17")), unlimited)) == "leverage"
    assert "free balance" in REFERENCE_RULES


# The way out


def test_exit_when_nothing_but_the_position_is_known_then_approved(gate: Gate, stop: OrderIntent, holding: Any) -> None:
    blind = replace(
        holding, price=None, price_at=None, venue_online=None, equity=None, free_balance=None, gross_exposure=None,
        coin_exposure=None, orders_last_minute=None, day_loss=None, drawdown=None, sleeve_drawdown=None,
        stop_attached=None, fee_bps=None, working_entries=None, quote_rate=None,
    )  # fmt: skip
    assert isinstance(gate.check(stop, blind), Approved)


@pytest.mark.parametrize(
    "field", ["instrument", "state", "sleeve_position", "account_position", "pending_exits", "parent_quantity"]
)
def test_exit_when_what_it_reduces_is_unknown_then_refused(
    field: str, gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    missing: dict[str, Any] = {field: None}
    assert isinstance(gate.check(stop, replace(holding, **missing)), Refused)


@pytest.mark.parametrize("purpose", [Purpose.EXIT, Purpose.STOP, Purpose.FLATTEN])
def test_fault_19_exit_when_halted_then_reduce_only_exits_pass(
    purpose: Purpose, gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    halted = replace(holding, state=TradingState.HALTED)
    exit_order = replace(stop, purpose=purpose)
    assert isinstance(gate.check(exit_order, halted), Approved)
    assert rule_of(gate.check(replace(exit_order, reduce_only=False), halted)) == "state"


def test_target_when_halted_then_refused_but_passes_close_only(
    gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    target = replace(stop, purpose=Purpose.TARGET)
    assert rule_of(gate.check(target, replace(holding, state=TradingState.HALTED))) == "state"
    assert isinstance(gate.check(target, replace(holding, state=TradingState.CLOSE_ONLY)), Approved)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_any_order_when_locked_then_refused(
    purpose: Purpose, gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    verdict = gate.check(replace(stop, purpose=purpose), replace(holding, state=TradingState.LOCKED))
    assert rule_of(verdict) == "state"


def test_fault_20_exit_when_larger_than_the_position_less_pending_exits_then_refused(
    gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    assert rule_of(gate.check(replace(stop, quantity=D("0.01001")), holding)) == "position"
    assert rule_of(gate.check(stop, replace(holding, pending_exits=D("0.00001")))) == "position"
    assert isinstance(gate.check(stop, replace(holding, pending_exits=D("-5"))), Approved)


def test_exit_when_on_the_side_of_the_position_then_refused(
    gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    assert rule_of(gate.check(replace(stop, side=Side.BUY), holding)) == "position"
    short = replace(holding, account_position=D("-0.01"), sleeve_position=D("-0.01"))
    assert isinstance(gate.check(replace(stop, side=Side.BUY), short), Approved)


def test_exit_when_nothing_is_held_then_refused(gate: Gate, stop: OrderIntent, context: GateContext) -> None:
    assert rule_of(gate.check(stop, context)) == "position"


def test_exit_when_another_sleeve_is_opposite_then_passes_only_without_the_reduce_only_flag(
    gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    netted = replace(holding, account_position=D(0))
    assert rule_of(gate.check(stop, netted)) == "position"
    assert isinstance(gate.check(replace(stop, reduce_only=False), netted), Approved)


def test_flatten_when_the_sleeve_holds_nothing_then_the_account_counts(
    gate: Gate, stop: OrderIntent, holding: GateContext
) -> None:
    flatten = replace(stop, purpose=Purpose.FLATTEN, order_type=OrderType.MARKET, stop_price=None)
    assert isinstance(gate.check(flatten, replace(holding, sleeve_position=None)), Approved)
    assert rule_of(gate.check(replace(flatten, quantity=D("0.02")), holding)) == "position"


def test_stop_when_its_entry_is_not_filled_yet_then_covers_at_most_the_entry(
    gate: Gate, stop: OrderIntent, context: GateContext
) -> None:
    child = replace(stop, parent_id="p1x000001")
    entering = replace(context, parent_quantity=D("0.01"))
    assert isinstance(gate.check(child, entering), Approved)
    assert rule_of(gate.check(replace(child, quantity=D("0.01001")), entering)) == "position"
    assert rule_of(gate.check(replace(child, side=Side.BUY), entering)) == "position"
    assert rule_of(gate.check(stop, entering)) == "position"


def test_entry_when_flagged_reduce_only_then_goes_by_the_rules_for_exits(
    gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    assert rule_of(gate.check(replace(entry, reduce_only=True), context)) == "position"


# Properties

quantities = st.decimals("-10", "10", allow_nan=False, places=5)
maybe = st.one_of(st.none(), st.just(D("NaN")), st.just(D("Infinity")), quantities)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), state=st.sampled_from(TradingState), purpose=st.sampled_from(Purpose), flag=st.booleans())
def test_gate_when_the_world_is_random_then_an_approved_exit_never_exceeds_what_is_held(
    data: st.DataObject, state: TradingState, purpose: Purpose, flag: bool
) -> None:
    order, world = _order_and_world(data, state, purpose, flag)
    verdict = Gate(RiskConfig()).check(order, world)
    if isinstance(verdict, Refused):
        return
    assert state is not TradingState.LOCKED
    if purpose is Purpose.ENTRY and not flag:
        assert state is TradingState.ACTIVE
        return
    held = world.account_position if purpose is Purpose.FLATTEN else world.sleeve_position
    assert held is not None
    assert order.quantity <= abs(held)
    assert held * order.side.sign < 0


def _order_and_world(
    data: st.DataObject, state: TradingState, purpose: Purpose, flag: bool
) -> tuple[OrderIntent, GateContext]:
    btc = Instrument("demo", "BTC", "USDT", Kind.PERPETUAL, D("0.1"), D("0.001"), D(5), D(10))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    quantity = abs(data.draw(quantities)).quantize(D("0.001"))
    order = OrderIntent("a1", btc.key, data.draw(st.sampled_from(Side)), quantity, OrderType.MARKET, purpose,
                        "momentum", at, D(100), reduce_only=flag)  # fmt: skip
    world = GateContext(
        at, btc, D(100), at, Timeframe(60), state, True, D(10_000), D(10_000), None, data.draw(maybe), data.draw(maybe),
        data.draw(maybe), data.draw(maybe), 0, D(0), D(0), D(0), True, D(10), pending_exits=data.draw(maybe),
    )  # fmt: skip
    return order, world


# Speed


def test_gate_when_an_order_passes_then_takes_less_than_60_microseconds(
    gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    if sys.gettrace() is not None:
        pytest.skip("a tracer slows every line")

    def one_round() -> float:
        started = time.perf_counter()
        for _ in range(200):
            gate.check(entry, context)
        return (time.perf_counter() - started) / 200

    assert min(one_round() for _ in range(10)) < 60e-6


# Only the gate says yes


def test_approved_when_searched_in_the_engine_then_made_by_the_gate_alone() -> None:
    offenders = {
        f"{path.relative_to(ENGINE)}:{line}"
        for path in sorted(ENGINE.rglob("*.py"))
        if path != ENGINE / "risk" / "gate.py"
        for line in makers_of_approved(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert not offenders


@pytest.mark.parametrize(
    "source",
    [
        "from engine.domain.orders import Approved\nApproved(x)",
        "from engine.domain.orders import Approved as Yes\nYes(x)",
        "from engine.domain import orders\norders.Approved(x)",
        "from engine.domain.orders import Approved\nlist(map(Approved, xs))",
        "from engine.domain.orders import Approved\nmake = Approved",
        "from engine.domain.orders import Approved\nobject.__new__(Approved)",
        "from engine.domain.orders import Approved\ntable = {'yes': Approved}",
        "import engine.domain.orders as o\ngetattr(o, 'Approved')(x)",
        "from engine.domain.orders import Approved\nx = Approved(y) | z",
    ],
)
def test_search_when_an_approved_is_made_then_found(source: str) -> None:
    assert list(makers_of_approved(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "from engine.domain.orders import Approved\ndef f(a: Approved) -> Approved | None: return None",
        "from engine.domain.orders import Approved\nisinstance(x, Approved)",
        "from engine.domain.orders import Approved\nisinstance(x, (Approved, int))",
        "from engine.domain.orders import Approved\nmatch x:\n    case Approved(intent): pass",
        "from engine.domain.orders import Approved, Refused\nVerdict = Approved | Refused",
        "class Outcome:\n    approved: tuple[Approved, ...] = ()",
    ],
)
def test_search_when_an_approved_is_only_named_then_silent(source: str) -> None:
    assert not list(makers_of_approved(ast.parse(source)))


def makers_of_approved(tree: ast.Module) -> Iterator[int]:
    """Lines where the class is used as a value: called, passed on or stored; annotations and type tests are not."""
    names = {"Approved"} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "Approved" and alias.asname
    }
    harmless = set(map(id, _harmless_nodes(tree)))
    for node in ast.walk(tree):
        named = isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load)
        dotted = isinstance(node, ast.Attribute) and node.attr == "Approved"
        quoted = isinstance(node, ast.Constant) and node.value == "Approved"
        if (named or dotted or quoted) and id(node) not in harmless:
            yield node.lineno  # type: ignore[attr-defined]


def _harmless_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        roots: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            roots.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            roots.append(node.annotation)
        elif isinstance(node, ast.MatchClass):
            roots.append(node.cls)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            roots.extend(node.args[1:])
        elif isinstance(node, ast.BinOp | ast.Subscript):  # unions and generics name types, they make nothing
            roots.append(node)
        for root in roots:
            if root is not None:
                yield from _outside_calls(root)


def _outside_calls(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _outside_calls(child)


def test_coins_when_a_person_sells_more_than_is_held_then_told_what_is_held_and_free_there(
    gate: Gate, entry: OrderIntent, context: GateContext
) -> None:
    order = replace(entry, side=Side.SELL, quantity=D("0.4"), sleeve="manual")
    verdict = gate.check(order, replace(context, free_base=D("0.01"), sleeve_position=D("0.02")))
    assert isinstance(verdict, Refused)
    assert (verdict.rule, verdict.value, verdict.limit) == ("coins", "0.4 BTC", "0.01 BTC")
    assert verdict.detail == (
        "the order sells 0.4 BTC; orders by hand hold 0.02 BTC at binance, 0.01 BTC of it free to sell. "
        "Coins of your own there are not the engine's to sell"
    )
