"""Conditions of a replay in words."""

from __future__ import annotations

import json

import pytest

from engine.domain.errors import StorageError
from engine.runtime.replay_request import read_request
from engine.runtime.replay_words import Condition, conditions


def test_conditions_when_a_whole_request_then_no_code_name_is_left() -> None:
    record = read_request({"strategies": ["momentum"], "brake": "reset-after=30", "costs": "plain"}).record()
    found = conditions(json.dumps(record))
    assert {row.part for row in found} == {"Run", "Costs", "Trend momentum", "Limits"}
    assert not [row.title for row in found if "_" in row.title]
    assert Condition("Run", "Emergency brake", "reset after 30 days") in found
    assert Condition("Run", "Speed, market seconds a wall second", "as fast as possible") in found
    assert Condition("Limits", "Emergency brake: drawdown that flattens, % of peak", "0.10", "share") in found


def test_conditions_when_only_what_was_asked_is_known_then_that() -> None:
    asked = {"strategies": ["momentum"], "settings": {"momentum": {"stop_atr": "3"}}, "costs": "default", "from": ""}
    found = conditions(json.dumps(asked))
    assert [row.part for row in found] == ["Run", "Run", "Trend momentum"]
    assert found[0].value == "first candle"


def test_conditions_when_nothing_is_stored_then_none() -> None:
    assert conditions("") == ()


@pytest.mark.parametrize("text", ["{", "[]"])
def test_conditions_when_damaged_then_an_error(text: str) -> None:
    with pytest.raises(StorageError, match="damaged"):
        conditions(text)
