"""Every rule for entries: a passing case, a breach, and an unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.commands import TradingState
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import OrderIntent, OrderType, Purpose, Side
from engine.risk import EXIT_RULES, REFERENCE_RULES, RULES
from engine.risk.context import GateContext
from engine.risk.limits import RiskConfig, RiskMode

NAN = Decimal("NaN")
SIGNALLING = Decimal("sNaN")
INFINITE = Decimal("Infinity")
D = Decimal


def breaches(rule: str, intent: OrderIntent, context: GateContext, config: RiskConfig) -> bool:
    return RULES[rule](intent, context, config) is not None


PASSES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("price age", "exactly two bars old", {}, {"price_at": timedelta(hours=-2)}),
    ("price band", "reference at the edge of the band", {"reference_price": D(63_000)}, {}),
    ("price band", "limit inside", {"order_type": OrderType.LIMIT, "limit_price": D(58_000)}, {}),
    ("precision", "limit on the tick", {"order_type": OrderType.LIMIT, "limit_price": D("59999.99")}, {}),
    ("min notional", "exactly the minimum", {"quantity": D("0.0001")}, {"price": D(50_000)}),
    ("stop", "a person needs none", {"sleeve": "manual"}, {"stop_attached": False}),
    ("order rate", "one below the limit", {}, {"orders_last_minute": 59}),
    ("daily loss", "just below", {}, {"day_loss": D("0.0299")}),
    ("daily loss", "a profit", {}, {"day_loss": D("-0.5")}),
    ("drawdown", "just below the brake", {}, {"drawdown": D("0.0999")}),
    ("drawdown", "a person has no sleeve drawdown", {"sleeve": "manual"}, {"sleeve_drawdown": None}),
    ("value at risk", "at the limit", {}, {"daily_var": D("0.03")}),
    ("value at risk", "too little history blocks nothing", {}, {"daily_var": None}),
    ("position", "exactly 30 %", {"quantity": D("0.05")}, {}),
    ("position", "over the limit but shrinking", {"side": Side.SELL}, {"account_position": D(1)}),
    ("leverage", "spot up to equity", {"quantity": D("0.16666")}, {}),
    ("exposure", "exactly equity", {"quantity": D("0.05")}, {"gross_exposure": D(7_000)}),
    ("exposure", "over the limit but closing", {"side": Side.SELL},
     {"account_position": D(1), "gross_exposure": D(60_000)}),
    ("concentration", "exactly 40 %", {"quantity": D("0.05")}, {"coin_exposure": D(1_000)}),
    ("concentration", "over the limit but lowering", {}, {"coin_exposure": D(-90_000)}),
    ("free balance", "exactly with costs", {"quantity": D("0.01")}, {"free_balance": D("600.78")}),
    ("coins", "as many as are free", {"side": Side.SELL}, {"free_base": D("0.01")}),
    ("coins", "a buy needs none", {}, {"free_base": None}),
    ("free balance", "a sale needs no money", {"side": Side.SELL}, {"free_balance": None}),
]  # fmt: skip

BREACHES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("state", "close-only", {}, {"state": TradingState.CLOSE_ONLY}),
    ("state", "halted", {}, {"state": TradingState.HALTED}),
    ("state", "locked", {}, {"state": TradingState.LOCKED}),
    ("instrument", "another one's facts", {"instrument": InstrumentKey("binance:ETH/USDT")}, {}),
    ("venue", "offline", {}, {"venue_online": False}),
    ("price age", "two bars and a second", {}, {"price_at": timedelta(hours=-2, seconds=-1)}),
    ("price age", "from the future", {}, {"price_at": timedelta(seconds=1)}),
    ("price band", "ten times the price", {"reference_price": D(600_000)}, {}),
    ("price band", "limit too far", {"order_type": OrderType.LIMIT, "limit_price": D(56_999)}, {}),
    ("price band", "trigger too far", {"order_type": OrderType.STOP, "stop_price": D(63_001)}, {}),
    ("precision", "between lots", {"quantity": D("0.000015")}, {}),
    ("precision", "zero", {"quantity": D(0)}, {}),
    ("precision", "negative", {"quantity": D("-0.01")}, {}),
    ("precision", "limit between ticks", {"order_type": OrderType.LIMIT, "limit_price": D("59999.999")}, {}),
    ("precision", "no limit price", {"order_type": OrderType.LIMIT}, {}),
    ("precision", "no stop price", {"order_type": OrderType.STOP}, {}),
    ("precision", "negative stop price", {"order_type": OrderType.STOP, "stop_price": D(-1)}, {}),
    ("precision", "more lots than digits", {"quantity": D("1E+40")}, {}),
    ("min notional", "a lot under", {"quantity": D("0.00009")}, {"price": D(50_000)}),
    ("stop", "a strategy without", {}, {"stop_attached": False}),
    ("order rate", "at the limit", {}, {"orders_last_minute": 60}),
    ("daily loss", "at the limit", {}, {"day_loss": D("0.03")}),
    ("drawdown", "at the brake", {}, {"drawdown": D("0.10")}),
    ("drawdown", "the strategy's own", {}, {"sleeve_drawdown": D("0.15")}),
    ("value at risk", "above", {}, {"daily_var": D("0.0301")}),
    ("position", "a lot above 30 %", {"quantity": D("0.05001")}, {}),
    ("position", "with what is working", {"quantity": D("0.03")}, {"working_entries": D("0.03")}),
    ("position", "with what is held", {"quantity": D("0.03")}, {"account_position": D("0.03")}),
    ("position", "turning far to the other side", {"side": Side.SELL, "quantity": D("0.2")},
     {"account_position": D("0.04")}),
    ("leverage", "spot above equity", {"quantity": D("0.16667")}, {}),
    ("exposure", "a lot above", {"quantity": D("0.05001")}, {"gross_exposure": D(7_000)}),
    ("exposure", "no equity left", {}, {"equity": D(0)}),
    ("concentration", "a lot above", {"quantity": D("0.05001")}, {"coin_exposure": D(1_000)}),
    ("concentration", "short on another venue", {"side": Side.SELL}, {"coin_exposure": D(-4_000)}),
    ("free balance", "a cent short", {"quantity": D("0.01")}, {"free_balance": D("600.77")}),
    ("coins", "more than is free", {"side": Side.SELL}, {"free_base": D("0.00999")}),
    ("coins", "all held back by other orders", {"side": Side.SELL}, {"free_base": D("-0.001")}),
]  # fmt: skip

UNKNOWNS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("state", {}, {"state": None}),
    ("instrument", {}, {"instrument": None}),
    ("venue", {}, {"venue_online": None}),
    ("price age", {}, {"price_at": None}),
    ("precision", {}, {"instrument": None}),
    ("min notional", {}, {"instrument": None}),
    ("stop", {}, {"stop_attached": None}),
    ("order rate", {}, {"orders_last_minute": None}),
    ("order rate", {}, {"orders_last_minute": -1}),
    ("leverage", {}, {"instrument": None}),
    ("free balance", {}, {"instrument": None}),
    ("free balance", {}, {"fee_bps": D(-1)}),
    ("coins", {}, {"instrument": None}),
    ("price band", {"order_type": OrderType.LIMIT}, {}),
    ("exposure", {"order_type": OrderType.STOP}, {}),
]

NUMBERS: list[tuple[str, str]] = [
    ("price age", "price"),
    ("price band", "price"),
    ("min notional", "price"),
    ("daily loss", "day_loss"),
    ("drawdown", "drawdown"),
    ("drawdown", "sleeve_drawdown"),
    *[("position", name) for name in ("price", "equity", "account_position", "working_entries", "quote_rate")],
    *[("leverage", name) for name in ("price", "equity", "account_position", "working_entries", "quote_rate")],
    *[
        ("exposure", name)
        for name in ("price", "equity", "account_position", "pending_exits", "gross_exposure", "quote_rate")
    ],
    *[("concentration", name) for name in ("price", "equity", "coin_exposure", "quote_rate")],
    *[("free balance", name) for name in ("price", "free_balance", "fee_bps", "account_position", "pending_exits")],
]


def applied(context: GateContext, changes: dict[str, Any], now: datetime) -> GateContext:
    moments = {name: now + value for name, value in changes.items() if isinstance(value, timedelta)}
    return replace(context, **(changes | moments))


@pytest.mark.parametrize("rule", RULES)
def test_rule_when_all_is_well_then_passes(
    rule: str, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    assert not breaches(rule, entry, context, config)


@pytest.mark.parametrize(("rule", "why", "order", "world"), PASSES, ids=[f"{c[0]}: {c[1]}" for c in PASSES])
def test_rule_when_inside_its_limit_then_passes(
    rule: str, why: str, order: Any, world: Any, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    assert not breaches(rule, replace(entry, **order), applied(context, world, context.now), config), why


@pytest.mark.parametrize(("rule", "why", "order", "world"), BREACHES, ids=[f"{c[0]}: {c[1]}" for c in BREACHES])
def test_rule_when_past_its_limit_then_names_value_limit_and_reason(
    rule: str, why: str, order: Any, world: Any, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    breach = RULES[rule](replace(entry, **order), applied(context, world, context.now), config)
    assert breach is not None, why
    assert breach.value
    assert breach.limit
    assert breach.detail


@pytest.mark.parametrize(("rule", "order", "world"), UNKNOWNS, ids=[f"{c[0]}: {c[1]}{c[2]}" for c in UNKNOWNS])
def test_rule_when_an_input_is_missing_then_refuses(
    rule: str, order: Any, world: Any, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    assert breaches(rule, replace(entry, **order), replace(context, **world), config)


@pytest.mark.parametrize("bad", [None, NAN, SIGNALLING, INFINITE, -INFINITE], ids=str)
@pytest.mark.parametrize(("rule", "field"), NUMBERS)
def test_rule_when_a_number_is_unusable_then_refuses(
    rule: str, field: str, bad: Any, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    assert breaches(rule, entry, replace(context, **{field: bad}), config)


@pytest.mark.parametrize("bad", [NAN, SIGNALLING, INFINITE], ids=str)
@pytest.mark.parametrize(
    "rule", ["precision", "min notional", "position", "leverage", "exposure", "concentration", "free balance"]
)
def test_rule_when_the_quantity_is_unusable_then_refuses(
    rule: str, bad: Decimal, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    assert breaches(rule, replace(entry, quantity=bad), context, config)


@pytest.mark.parametrize("bad", [NAN, INFINITE], ids=str)
def test_free_coins_when_unusable_then_refuses(
    bad: Decimal, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    assert breaches("coins", replace(entry, side=Side.SELL), replace(context, free_base=bad), config)
    assert breaches("coins", replace(entry, side=Side.SELL), replace(context, free_base=None), config)


def test_value_at_risk_when_not_a_number_then_refuses_only_in_conservative_mode(
    entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    broken, aggressive = replace(context, daily_var=NAN), RiskConfig(mode=RiskMode.AGGRESSIVE)
    assert breaches("value at risk", entry, broken, config)
    assert not breaches("value at risk", entry, broken, aggressive)


def test_drawdown_when_the_brake_is_raised_then_the_mode_limits(entry: OrderIntent, context: GateContext) -> None:
    raised = RiskConfig(brake_drawdown=Decimal("0.40"))
    assert not breaches("drawdown", entry, replace(context, drawdown=Decimal("0.2499")), raised)
    assert breaches("drawdown", entry, replace(context, drawdown=Decimal("0.25")), raised)


def test_leverage_when_perpetual_then_lower_of_setting_and_instrument(
    entry: OrderIntent, context: GateContext, perpetual: Instrument
) -> None:
    order = replace(entry, instrument=perpetual.key, quantity=Decimal("0.500"))
    world = replace(context, instrument=perpetual)
    assert not breaches("leverage", order, world, RiskConfig(max_leverage=Decimal(3)))
    assert breaches("leverage", order, world, RiskConfig(max_leverage=Decimal("2.9")))
    tight = replace(world, instrument=replace(perpetual, max_leverage=Decimal(2)))
    assert breaches("leverage", order, tight, RiskConfig(max_leverage=Decimal(3)))


def test_free_balance_when_perpetual_then_margin_and_costs(
    entry: OrderIntent, context: GateContext, perpetual: Instrument
) -> None:
    order = replace(entry, instrument=perpetual.key, quantity=Decimal("0.100"), side=Side.SELL)
    config = RiskConfig(max_leverage=Decimal(3))
    enough = replace(context, instrument=perpetual, free_balance=Decimal("2007.8"))
    assert not breaches("free balance", order, enough, config)
    assert breaches("free balance", order, replace(enough, free_balance=Decimal("2007.79")), config)


def test_free_balance_when_a_limit_lies_below_the_mark_then_only_the_limit_is_needed(
    entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    order = replace(entry, order_type=OrderType.LIMIT, limit_price=Decimal(58_000))
    assert not breaches("free balance", order, replace(context, free_balance=Decimal(581)), config)


def test_exposure_when_an_exit_is_already_working_then_the_order_counts_as_opening(
    entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    long = replace(context, account_position=Decimal("0.01"), gross_exposure=Decimal(10_000))
    sell = replace(entry, side=Side.SELL)
    assert not breaches("exposure", sell, long, config)
    assert breaches("exposure", sell, replace(long, pending_exits=Decimal("0.01")), config)


def test_position_when_quoted_in_another_currency_then_valued_in_base_currency(
    entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    order = replace(entry, quantity=Decimal("0.04"))
    assert not breaches("position", order, context, config)
    assert breaches("position", order, replace(context, quote_rate=Decimal("1.3")), config)


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.ENTRY])
def test_state_when_close_only_then_every_exit_passes(
    purpose: Purpose, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    world = replace(context, state=TradingState.CLOSE_ONLY)
    assert not breaches("state", replace(entry, purpose=purpose), world, config)


def test_registries_when_read_then_reference_and_exit_rules_are_registered_rules() -> None:
    assert set(RULES) >= REFERENCE_RULES
    assert set(EXIT_RULES) <= set(RULES)


AMOUNTS = ("position", "leverage", "exposure", "concentration", "min notional", "free balance")


@pytest.mark.parametrize(
    ("rule", "why", "order", "world"),
    [case for case in BREACHES if case[0] in AMOUNTS],
    ids=lambda part: str(part)[:40],
)
def test_rule_when_it_refuses_an_amount_then_value_and_limit_name_the_currency(
    rule: str, why: str, order: Any, world: Any, entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    breach = RULES[rule](replace(entry, **order), applied(context, world, context.now), config)
    assert breach is not None, why
    assert {breach.value.split()[-1], breach.limit.split()[-1]} <= {"USDT", "BTC"}
    assert breach.value in breach.detail


def test_quantity_when_off_its_lot_then_says_of_which_coin(
    entry: OrderIntent, context: GateContext, config: RiskConfig
) -> None:
    breach = RULES["precision"](replace(entry, quantity=D("0.000001")), context, config)
    assert breach is not None
    assert (breach.value, breach.limit) == ("0.000001 BTC", "0.00001 BTC")
