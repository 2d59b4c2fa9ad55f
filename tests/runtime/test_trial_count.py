"""Every run of a strategy counts, by hand or in a study, and a verdict knows how many there were."""

from __future__ import annotations

import json
import math
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_candles import HOUR, made

from engine.domain.errors import CandleError, CommandRefused, StorageError
from engine.domain.instruments import Kind
from engine.domain.market import CandleArrays
from engine.market.funding import FundingSeries
from engine.quant.overfitting import trial_variance
from engine.runtime.backtests import BacktestResult, backtest, counting, read_backtest
from engine.runtime.replay_data import ReplayData, file_candles, read_file_facts
from engine.runtime.research_studies_files import StudyFolder
from engine.runtime.studies import read_study, study
from engine.runtime.trial_count import OwnTrials, strictest, tried_since, with_others
from engine.simulation.evaluation_figures import DAY_MS
from engine.simulation.evaluation_luck import StudyFacts
from engine.storage.base import Database
from engine.storage.candle_import import ImportWatch
from engine.storage.research import ResearchStore
from engine.storage.research_tried import Tried

DATA = ReplayData(dict([made(24 * 300, seed=5)]))
SETTINGS = {"fast_bars": 10, "slow_bars": 50}


def by_hand(folder: Path | None, settings: dict[str, Any] | None = None, **asked: Any) -> BacktestResult:
    request = read_backtest({"strategy": "sma_cross", "draws": 100, "settings": settings or SETTINGS, **asked})
    return backtest(request, DATA, study=counting(request, DATA, folder))


def searched(folder: Path, **asked: Any) -> dict[str, Any]:
    values = {"strategy": "sma_cross", "draws": 100, "trials": 5, "folds": 2, **asked}
    return study(read_study(values), DATA, folder, lambda _share, _text: True)


def count(record: dict[str, Any]) -> tuple[int, int]:
    over = record["overfitting"]
    return over["trials"], over["other_trials"]


def test_others_when_counted_then_their_variance_is_taken_and_short_looks_are_brought_to_length() -> None:
    own = OwnTrials(frozenset({"a"}), [0.05], 400.0, DAY_MS)
    pool = [Tried("a", 0.05, 400.0), Tried("b", -0.05, 400.0), Tried("c", 0.4, 25.0)]
    facts = with_others(StudyFacts(overfitting=0.2), own, pool)
    assert (facts.trials, facts.others, facts.overfitting) == (3, 2, 0.2)
    assert facts.sharpe_variance == pytest.approx(trial_variance([0.05, -0.05, 0.4 * math.sqrt(25 / 400)]))
    assert with_others(StudyFacts(), own, pool[:1]) == StudyFacts()
    weekly = with_others(StudyFacts(), OwnTrials(own.keys, [0.05], 400.0, 7 * DAY_MS), pool[:2])
    assert weekly.sharpe_variance == pytest.approx(trial_variance([0.05, -0.05 * math.sqrt(7)]))


def test_backtests_when_run_by_hand_then_distinct_settings_count_and_the_same_again_do_not(tmp_path: Path) -> None:
    first = by_hand(tmp_path).record
    assert count(first) == (1, 0)
    for fast in (11, 12, 13):
        by_hand(tmp_path, {**SETTINGS, "fast_bars": fast})
    again = by_hand(tmp_path, seed=3).record
    assert count(by_hand(tmp_path, costs="plain", fee_bps="5").record) == (4, 3), "costs are no setting"
    assert count(again) == (4, 3)
    assert again["overfitting"]["trials_unknown"] == ""
    assert again["overfitting"]["deflated_sharpe"] < first["overfitting"]["deflated_sharpe"]
    later = by_hand(tmp_path, None, **{"from": "2023-05-01", "to": "2023-06-01"}).record
    assert count(later) == (4, 3), "another range of days in common does not hide them"


def test_backtest_when_it_cannot_be_recorded_then_the_record_says_so(tmp_path: Path) -> None:
    alone = by_hand(None).record["overfitting"]
    assert (alone["trials"], alone["trials_unknown"]) == (1, "the run was made without a data folder")
    Database.RESEARCH.path(tmp_path).write_bytes(b"x" * 5000)
    told = by_hand(tmp_path)
    assert "research.sqlite" in told.record["overfitting"]["trials_unknown"]
    assert told.record["final_equity"]


def test_study_when_others_tried_the_strategy_then_it_is_held_to_all_of_them(tmp_path: Path) -> None:
    wide = searched(tmp_path)
    assert count(wide) == count(wide["development"]) == (5, 0)
    by_hand(tmp_path)
    near = {name: f"{value}:{value + 2}" for name, value in wide["best"]["settings"].items()}
    narrow = searched(tmp_path, trials=3, ranges=near, study="narrow")
    trials, others = count(narrow)
    assert others in (5, 6), "the one by hand and those of the wide one that the narrow one did not try again"
    assert trials == others + narrow["counts"]["measured"]
    assert count(narrow["development"]) == (trials, others)
    fresh = searched(tmp_path / "fresh", trials=3, ranges=near, study="narrow")
    assert fresh["trials"] == narrow["trials"]
    own, pooled = (one["development"]["overfitting"]["deflated_sharpe"] for one in (fresh, narrow))
    assert pooled < own, "a narrow range does not take the variance of the wide one away"
    assert count(searched(tmp_path))[0] >= 5 + 1


def test_backtest_when_a_study_tried_its_settings_then_held_to_at_least_what_the_study_was(tmp_path: Path) -> None:
    found = searched(tmp_path, study="wide")
    again = by_hand(tmp_path, found["development"]["settings"]).record["overfitting"]
    assert (again["study"], again["pbo"]) == ("wide", found["overfitting"]["pbo"])
    assert again["trials"] >= found["overfitting"]["trials"]
    span = {"from": found["definition"]["development"]["from"], "to": found["definition"]["development"]["to"]}
    same = by_hand(tmp_path, found["development"]["settings"], **span).record
    assert same["metrics"]["sharpe"] == found["development"]["metrics"]["sharpe"]
    measured = found["development"]["overfitting"]["deflated_sharpe"]
    assert same["overfitting"]["deflated_sharpe"] <= measured
    others = by_hand(tmp_path).record["overfitting"]
    assert (others["study"], others["pbo"]) == ("", None), "its settings are no trial of the study"


def test_strictness_when_two_studies_tried_the_settings_then_each_figure_is_the_stricter(tmp_path: Path) -> None:
    for name, over in (("a", (90, 0.002, 0.3)), ("b", (40, 0.004, 0.2)), ("c", (10, None, None))):
        folder = StudyFolder(tmp_path, name)
        folder.path.mkdir(parents=True)
        body = dict(zip(("trials", "sharpe_variance", "pbo"), over, strict=True))
        (folder.path / "record.json").write_text(json.dumps({"overfitting": body}))
    facts = strictest(StudyFacts(60, 0.003), tmp_path, ("a", "b", "c", "not judged"))
    assert (facts.trials, facts.others, facts.sharpe_variance, facts.overfitting) == (90, 89, 0.004, 0.3)
    assert facts.study == "a"
    assert strictest(StudyFacts(), tmp_path, ("not judged",)) == StudyFacts()
    (tmp_path / "studies" / "a" / "record.json").write_text("{}")
    with pytest.raises(StorageError, match=r"record\.json"):
        strictest(StudyFacts(), tmp_path, ("a",))


def test_verdict_when_more_settings_were_tried_later_then_their_number_is_known(tmp_path: Path) -> None:
    record = by_hand(tmp_path).record
    with closing(ResearchStore(tmp_path)) as store:
        assert tried_since(store, record) == 0
        by_hand(tmp_path, seed=4)
        by_hand(tmp_path, to="2023-06-01")
        assert tried_since(store, record) == 0, "the same settings are no new trial"
        for fast in (11, 12):
            by_hand(tmp_path, {**SETTINGS, "fast_bars": fast})
        assert tried_since(store, record) == 2


def test_look_when_a_backtest_showed_days_of_the_holdout_then_labelled_and_never_the_best(tmp_path: Path) -> None:
    by_hand(tmp_path, to="2023-09-10")
    searched(tmp_path, study="one")
    found = searched(tmp_path, study="one", holdout_report=True)["holdout"]["record"]
    seen, of = found["overfitting"]["seen_days"], found["overfitting"]["seen_of"]
    assert 0 < seen < of
    assert found["verdict"]["level"] != "distinguishable from luck"


def test_look_when_another_study_searched_its_days_then_refused(tmp_path: Path) -> None:
    searched(tmp_path)
    with pytest.raises(CommandRefused, match="searched the days from"):
        searched(tmp_path, to="2023-08-15", ranges={"fast_bars": "9:11"}, trials=1, study="late", holdout_report=True)


def test_verdict_when_the_best_of_many_noise_settings_is_run_by_hand_then_not_distinguishable(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    close = 20_000 * np.exp(np.cumsum(rng.normal(0, 0.006, 24 * 500)))
    instrument, candles = made(len(close))
    first = np.concatenate(([20_000.0], close[:-1]))
    noise = CandleArrays(HOUR, candles.opened_at_ms, first, np.maximum(first, close), np.minimum(first, close), close,
                         candles.volume)  # fmt: skip
    data = ReplayData({instrument: noise})
    best: dict[str, Any] = {}
    for fast in range(5, 45, 2):
        asked = {"strategy": "sma_cross", "draws": 100, "settings": {"fast_bars": fast, "slow_bars": 3 * fast}}
        request = read_backtest(asked)
        record = backtest(request, data, study=counting(request, data, tmp_path)).record
        best = max(best, record, key=lambda one: one.get("metrics", {}).get("sharpe", {}).get("value") or -9.0)
    again = read_backtest({"strategy": "sma_cross", "draws": 100, "settings": best["settings"]})
    told = backtest(again, data, study=counting(again, data, tmp_path)).record
    alone = backtest(again, data, study=StudyFacts()).record
    assert count(told) == (20, 19)
    assert told["overfitting"]["deflated_sharpe"] < alone["overfitting"]["deflated_sharpe"]
    assert told["verdict"]["level"] != "distinguishable from luck"


def test_record_when_funding_or_limits_of_the_market_differ_then_it_is_another() -> None:
    instrument, candles = made(200, kind=Kind.PERPETUAL)
    stamps = candles.opened_at_ms[8::8]
    markets = [
        instrument,
        replace(instrument, min_notional=Decimal(500)),
        replace(instrument, max_leverage=Decimal(50)),
    ]
    records = [ReplayData({one: candles}, {one.key: None}).record() for one in markets]
    for rate in ("0.0001", "0.03"):
        funding = FundingSeries(stamps, (Decimal(rate),) * len(stamps))
        records.append(ReplayData({instrument: candles}, {instrument.key: funding}).record())
    assert len({json.dumps(one) for one in records}) == len(records)


def test_files_when_one_contradicts_itself_then_refused_with_both_rows(tmp_path: Path) -> None:
    folder = tmp_path / "spot_binance"
    folder.mkdir()
    path = folder / "BTC_USDT-1h.csv"
    _, candles = made(40)
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    rows = [
        ",".join(map(str, (at, *map(float, values))))
        for at, *values in zip(candles.opened_at_ms, *columns, strict=True)
    ]
    wild = f"{candles.opened_at_ms[20]},20000.0,99999999.0,1.0,20000.0,1.0"
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows, wild]))
    with pytest.raises(
        CandleError, match=r"two different rows of the candle that opens at 2023-01-01T20.*99999999\.0, 1\.0"
    ):
        file_candles([path], read_file_facts({}), None, ImportWatch())
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows, rows[20]]))
    assert file_candles([path], read_file_facts({}), None, ImportWatch())[1] == 1
