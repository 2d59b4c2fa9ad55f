"""What was tried counts once, whatever ran it, and a holdout that was seen is no holdout."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.errors import CommandRefused
from engine.storage.base import Database
from engine.storage.migrate import migrate_file
from engine.storage.research import HoldoutTouch, ResearchStore, StoredStudy, Trial, TrialStamp, TrialState
from engine.storage.research_tried import BY_HAND, Tried, TriedDays, days_of_study

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STAMP = TrialStamp("abc", NOW)
LIMITS = {"risk": {"brake_drawdown": "0.1"}, "brake": "latch"}


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def days(
    first: int, stop: int, instrument: str = "binance:BTC/USDT", source: str = BY_HAND, sha: str = "x"
) -> TriedDays:
    return TriedDays("breakout", source, ((instrument, "1h", sha),), day(first), day(stop), LIMITS)


def study(name: str, first: int, stop: int, instrument: str = "binance:BTC/USDT", sha: str = "s") -> StoredStudy:
    definition = {
        "series": [{"instrument": instrument, "timeframe": "1h", "sha256": sha}],
        "development": {"from": day(first).isoformat(), "to": day(stop).isoformat()},
        "fixed": {"b": 1},
        **LIMITS,
    }
    return StoredStudy(name, "breakout", definition, NOW)


def trial(number: int, state: TrialState = TrialState.COMPLETE, value: float = 1.0) -> Trial:
    return Trial(number, state, {"a": number}, value, (value,), np.zeros(50))


def run(place: TriedDays, settings: dict[str, Any], sharpe: float = 0.1, length: float = 50.0) -> Tried:
    return Tried(place.key_of(settings), sharpe, length, settings)


@pytest.fixture
def research(tmp_path: Path) -> Iterator[ResearchStore]:
    store = ResearchStore(tmp_path)
    yield store
    store.close()


def test_tried_when_the_same_settings_run_again_then_no_new_trial(research: ResearchStore) -> None:
    place = days(0, 100)
    for sharpe in (0.1, 0.2):
        research.add_run(place, run(place, {"a": 1}, sharpe), STAMP)
    longer = days(0, 120, sha="y")
    research.add_run(longer, run(longer, {"a": 1}, 0.3, 120.0), STAMP)
    research.add_run(place, run(place, {"a": 2}), STAMP)
    found = {one.key: one for one in research.tried(place)}
    assert len(found) == 2
    assert found[place.key_of({"a": 1})].sharpe == 0.3, "that over most days"


def test_tried_when_a_study_stores_trials_then_they_count_with_its_fixed_settings(research: ResearchStore) -> None:
    stored = research.begin(study("s", 0, 100))
    added = [trial(0), trial(1, TrialState.PRUNED), trial(2, TrialState.REFUSED)]
    research.add_trials("s", added, STAMP)
    place = days_of_study("s", "breakout", stored.definition)
    assert place is not None
    found = {one.key: one for one in research.tried(place)}
    assert found.keys() == {place.key_of({"a": 0, "b": 1}), place.key_of({"a": 1, "b": 1})}
    assert found[place.key_of({"a": 0, "b": 1})].sharpe == pytest.approx(1.0 / math.sqrt(365))
    hand = days(90, 200)
    research.add_run(hand, run(hand, {"a": 0, "b": 1}), STAMP)
    assert len(research.tried(hand)) == 2, "the hand's settings are the study's"


@pytest.mark.parametrize(
    ("other", "counts"),
    [
        (days(50, 150), True),
        (days(100, 150), False),
        (days(0, 100, "kraken:BTC/USDT"), True),
        (days(0, 100, "binance:BTC/USDT:USDT"), True),
        (days(0, 100, "binance:ETH/USDT", sha="y"), False),
        (days(0, 100, "demo:WBTC/USDT", sha="x"), True),
        (replace(days(0, 100), strategy="momentum"), False),
    ],
)
def test_tried_when_days_and_coin_are_in_common_then_it_counts(
    research: ResearchStore, other: TriedDays, counts: bool
) -> None:
    place = days(0, 100)
    research.add_run(other, run(other, {"a": 7}), STAMP)
    assert bool(research.tried(place)) is counts


def test_key_when_risk_brake_candles_or_coins_differ_then_another() -> None:
    place = days(0, 100)
    others = [
        replace(place, limits={**LIMITS, "brake": "off"}),
        replace(place, series=(("binance:BTC/USDT", "4h", "x"),)),
        replace(place, series=(*place.series, ("binance:ETH/USDT", "1h", "z"))),
    ]
    assert len({one.key_of({"a": 1}) for one in (place, *others)}) == 4
    elsewhere = replace(place, series=(("kraken:BTC/USDT:USDT", "1h", "z"),), start=day(3))
    assert elsewhere.key_of({"a": 1}) == place.key_of({"a": 1})


def look(name: str, first: int, stop: int, instrument: str = "binance:BTC/USDT") -> HoldoutTouch:
    return HoldoutTouch(name, "breakout", (instrument,), day(first), day(stop), NOW, {}, {})


@pytest.mark.parametrize("instrument", ["kraken:BTC/USDT", "binance:BTC/USDT:USDT"])
def test_look_when_the_same_coin_was_looked_at_elsewhere_then_refused(research: ResearchStore, instrument: str) -> None:
    research.begin(study("one", 0, 100))
    research.begin(study("two", 0, 100, instrument))
    research.touch(look("one", 101, 120))
    assert research.touched_like(look("two", 101, 120, instrument)) is not None
    with pytest.raises(CommandRefused, match="by study one"):
        research.touch(look("two", 101, 120, instrument))


def test_look_when_the_very_candles_have_another_name_then_refused(research: ResearchStore) -> None:
    research.begin(study("one", 0, 100))
    research.begin(study("two", 0, 100, "demo:WBTC/USDT"))
    research.touch(look("one", 101, 120))
    with pytest.raises(CommandRefused, match="by study one"):
        research.touch(look("two", 101, 120, "demo:WBTC/USDT"))


def test_look_when_another_study_searched_these_days_then_refused_and_named(research: ResearchStore) -> None:
    research.begin(study("late", 0, 80))
    research.begin(study("longer", 0, 110, "kraken:BTC/USDT"))
    assert research.searched_like(look("late", 90, 120)) is None, "no trial of it has run"
    research.add_trials("late", [trial(0)], STAMP)
    research.add_trials("longer", [trial(0)], STAMP)
    with pytest.raises(CommandRefused, match=r"study longer searched the days from 2025-01-01.*to 2025-04-21"):
        research.touch(look("late", 90, 120))
    assert research.touched("late") is None
    research.touch(look("late", 110, 130))


def test_look_when_backtests_by_hand_showed_days_then_they_are_told(research: ResearchStore) -> None:
    for place in (days(0, 100), days(0, 50), days(115, 200)):
        research.add_run(place, run(place, {"a": 1}), STAMP)
    assert [one.start for one in research.seen_like(look("s", 90, 120))] == [day(0), day(115)]
    assert research.seen_like(look("s", 101, 110)) == ()


def test_migration_when_trials_are_stored_then_they_count(tmp_path: Path) -> None:
    store = ResearchStore(tmp_path)
    stored = store.begin(study("s", 0, 100))
    store.begin(replace(study("old", 0, 1), definition={"seed": 1}))
    store.add_trials("s", [trial(0), trial(1, TrialState.REFUSED), trial(2)], STAMP)
    store.add_trials("old", [trial(0)], STAMP)
    place = days_of_study("s", "breakout", stored.definition)
    assert place is not None
    before = store.tried(place)
    store.close()
    with closing(sqlite3.connect(Database.RESEARCH.path(tmp_path))) as file:
        file.executescript(
            "DROP TABLE tried; DROP TABLE tried_days; UPDATE alembic_version SET version_num = '0002_trial_figures'"
        )
    assert migrate_file(Database.RESEARCH, tmp_path) is not None
    again = ResearchStore(tmp_path)
    assert sorted(again.tried(place), key=lambda one: one.key) == sorted(before, key=lambda one: one.key)
    assert len(before) == 2
    again.close()


def test_tried_when_read_then_an_index_is_used(research: ResearchStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(Database.RESEARCH.path(tmp_path))) as file:
        query = "EXPLAIN QUERY PLAN SELECT * FROM {} WHERE {}"
        for table, where in (("tried_days", "strategy = 'x'"), ("tried", "days_id IN (1, 2)")):
            plan = json.dumps(file.execute(query.format(table, where)).fetchall())
            assert "USING INDEX" in plan, plan
