"""The model of limits: bounds, texts, rows and what counts as loosening."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from engine.domain.errors import SettingsError
from engine.domain.portfolio import LimitUse
from engine.risk.limits import RiskConfig, RiskMode, Sizer, limit_rows, loosened, read_config

D = Decimal
CHOICES = {"mode", "sizer", "take_profit", "trail"}


def test_defaults_when_nothing_is_set_then_conservative() -> None:
    config = RiskConfig()
    assert config.mode is RiskMode.CONSERVATIVE
    assert config.sizer is Sizer.RISK
    assert config.brake_drawdown == D("0.10")
    assert config.entry_drawdown_limit == D("0.10")
    assert config.portfolio_drawdown_limit == D("0.25")


def test_portfolio_drawdown_when_set_then_replaces_the_one_of_the_mode() -> None:
    assert RiskConfig(mode=RiskMode.AGGRESSIVE).portfolio_drawdown_limit == D("0.40")
    assert RiskConfig(portfolio_drawdown=D("0.2")).portfolio_drawdown_limit == D("0.2")


def test_config_when_written_and_read_then_the_same() -> None:
    config = RiskConfig(mode=RiskMode.AGGRESSIVE, max_leverage=D("2.5"), portfolio_drawdown=D("0.3"))
    assert read_config(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"brake_drawdown": "0"}', "brake_drawdown"),
        ('{"brake_drawdown": "0.41"}', "brake_drawdown"),
        ('{"daily_loss": "NaN"}', "daily_loss"),
        ('{"daily_loss": "Infinity"}', "daily_loss"),
        ('{"max_leverage": "11"}', "max_leverage"),
        ('{"max_orders_per_minute": 0}', "max_orders_per_minute"),
        ('{"max_price_age_bars": 1.5}', "max_price_age_bars"),
        ('{"mode": "reckless"}', "mode"),
        ('{"max_laverage": "2"}', "max_laverage"),
        ("[1]", "the text"),
        ("not json", "the text"),
    ],
)
def test_read_when_a_value_is_wrong_then_the_message_names_it(text: str, name: str) -> None:
    with pytest.raises(SettingsError, match=f"risk limits refused: {name}: "):
        read_config(text)


def test_config_when_changed_in_place_then_refused() -> None:
    config: Any = RiskConfig()
    with pytest.raises(ValidationError):
        config.daily_loss = D("0.5")


def test_fields_when_drawn_as_a_form_then_each_has_a_label() -> None:
    assert all(field.description for field in RiskConfig.model_fields.values())


def test_rows_when_listed_then_every_limit_says_value_window_sample_and_actions() -> None:
    config = RiskConfig()
    rows = {row.name: row for row in limit_rows(config)}
    assert set(rows) == set(RiskConfig.model_fields) - CHOICES
    for row in rows.values():
        assert all((row.label, row.unit, row.window, row.minimum_sample, row.at_breach, row.when_unknown))
        assert isinstance(row.value, Decimal)
    assert rows["portfolio_drawdown"].value == D("0.25")
    assert rows["daily_loss"].value == config.daily_loss


def test_row_when_given_its_use_then_becomes_a_limit_use() -> None:
    row = next(row for row in limit_rows(RiskConfig()) if row.name == "daily_loss")
    expected = LimitUse("daily_loss", D("0.01"), D("0.03"), "share", "market day, UTC", row.at_breach, row.when_unknown)
    assert row.with_use(D("0.01")) == expected
    assert row.with_use(None).used is None


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ()),
        ({"daily_loss": D("0.02")}, ()),
        ({"daily_loss": D("0.04")}, ("daily_loss",)),
        ({"sizer": Sizer.WEIGHTS}, ("sizer",)),
        ({"mode": RiskMode.AGGRESSIVE}, ("mode", "portfolio_drawdown")),
        ({"api_errors_limit": 11, "max_leverage": D(2)}, ("max_leverage", "api_errors_limit")),
    ],
)
def test_loosened_when_compared_then_names_what_became_looser(changes: dict[str, Any], names: tuple[str, ...]) -> None:
    assert loosened(RiskConfig(), RiskConfig(**changes)) == names


def test_loosened_when_all_is_tightened_then_nothing() -> None:
    assert loosened(RiskConfig(mode=RiskMode.AGGRESSIVE, sizer=Sizer.WEIGHTS), RiskConfig()) == ()


@pytest.mark.parametrize(
    ("brake", "limit", "acts"),
    [("0.10", None, False), ("0.25", None, False), ("0.30", None, True), ("0.10", "0.08", True)],
)
def test_portfolio_drawdown_when_the_brake_comes_first_then_its_row_says_that_it_cannot_act(
    brake: str, limit: str | None, acts: bool
) -> None:
    given = None if limit is None else Decimal(limit)
    config = RiskConfig(brake_drawdown=Decimal(brake), portfolio_drawdown=given)
    row = next(row for row in limit_rows(config) if row.name == "portfolio_drawdown")
    assert ("cannot act" in row.at_breach) is not acts
    assert (f"{Decimal(brake) * 100:.2f} %" in row.at_breach) is not acts
