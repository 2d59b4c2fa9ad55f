"""The record of research: only added to, in order, and a holdout that is looked at once."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from engine.domain.errors import BadInput, CommandRefused, DatabaseCorrupt, StorageError
from engine.storage.backup import backup
from engine.storage.base import Database
from engine.storage.migrate import migrate
from engine.storage.research import HoldoutTouch, ResearchStore, StoredStudy, Trial, TrialStamp, TrialState
from engine.storage.restore import check_at_start, restore

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STAMP = TrialStamp("abc", NOW)
STUDY = StoredStudy("s", "breakout", {"seed": 1, "folds": [1, 2]}, NOW)
TOUCH = HoldoutTouch(
    "s", "breakout", ("binance:BTC/USDT",), NOW - timedelta(days=60), NOW - timedelta(days=1), NOW, {"a": 1},
    {"net": 0.5},
)  # fmt: skip


def trial(number: int, state: TrialState = TrialState.COMPLETE) -> Trial:
    return Trial(
        number, state, {"a": number, "b": 0.1}, 0.1 * number, (0.3, 0.1 * number), np.array([0.1, -0.2]), "why"
    )


@pytest.fixture
def research(tmp_path: Path) -> Iterator[ResearchStore]:
    store = ResearchStore(tmp_path / "data")
    store.begin(STUDY)
    yield store
    store.close()


def assert_same(found: Trial, expected: Trial) -> None:
    assert (found.number, found.state, found.settings, found.value, found.fold_scores, found.reason) == (
        expected.number, expected.state, expected.settings, expected.value, expected.fold_scores, expected.reason,
    )  # fmt: skip
    np.testing.assert_array_equal(found.returns, expected.returns)


def test_trials_when_stored_then_every_bit_comes_back_in_order(research: ResearchStore, tmp_path: Path) -> None:
    refused = Trial(2, TrialState.REFUSED, {"a": 9}, None, (), np.empty(0), "too long")
    research.add_trials("s", [trial(0), trial(1, TrialState.PRUNED)], STAMP)
    research.add_trials("s", [refused], TrialStamp("def", NOW))
    research.close()
    again = ResearchStore(tmp_path / "data")
    for found, expected in zip(again.trials("s"), [trial(0), trial(1, TrialState.PRUNED), refused], strict=True):
        assert_same(found, expected)
    assert again.revisions("s") == ("abc", "def")
    assert again.trials("none") == ()
    again.close()


def test_trials_when_not_the_next_ones_then_refused_and_nothing_stored(research: ResearchStore) -> None:
    research.add_trials("s", [trial(0)], STAMP)
    for wrong in ([trial(0)], [trial(2)], [trial(1), trial(1)]):
        with pytest.raises(CommandRefused, match="another process runs it"):
            research.add_trials("s", wrong, STAMP)
    assert len(research.trials("s")) == 1


def test_study_when_begun_again_then_the_same_and_another_definition_is_named(research: ResearchStore) -> None:
    later = replace(STUDY, created_at=NOW + timedelta(days=1))
    assert research.begin(later) == STUDY
    with pytest.raises(BadInput, match="study s exists with another seed; give the same values"):
        research.begin(replace(STUDY, definition={"seed": 2, "folds": [1, 2]}))
    assert research.study("s") == STUDY
    assert research.study("none") is None
    research.begin(replace(later, name="t"))
    assert [one.name for one in research.studies()] == ["t", "s"]


def test_holdout_when_looked_at_then_kept_and_a_second_look_is_refused_with_the_date(research: ResearchStore) -> None:
    research.touch(TOUCH)
    assert research.touched("s") == TOUCH
    with pytest.raises(CommandRefused, match=r"was looked at on 2026-01-02T00:00:00.*by study s"):
        research.touch(replace(TOUCH, touched_at=NOW + timedelta(days=3)))
    with pytest.raises(CommandRefused, match="study s ended on 2026-01-02"):
        research.add_trials("s", [trial(0)], STAMP)
    assert research.touched("s") == TOUCH


def test_holdout_when_another_study_overlaps_then_refused_unless_strategy_coin_or_days_differ(
    research: ResearchStore,
) -> None:
    research.touch(TOUCH)
    other = replace(TOUCH, study="t")
    research.begin(replace(STUDY, name="t"))
    assert research.touched_like(replace(other, start=NOW - timedelta(days=2))) == TOUCH
    with pytest.raises(CommandRefused, match="by study s"):
        research.touch(other)
    assert research.touched_like(replace(other, strategy="momentum")) is None
    assert research.touched_like(replace(other, instruments=("binance:ETH/USDT",))) is None
    newer = replace(other, start=TOUCH.stop, stop=NOW)
    assert research.touched_like(newer) is None
    research.touch(newer)
    assert research.touched("t") == newer


def test_file_when_made_then_private_and_brought_up_to_date_with_the_others(
    research: ResearchStore, tmp_path: Path
) -> None:
    path = Database.RESEARCH.path(tmp_path / "data")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(line.startswith("research") for line in migrate(tmp_path / "data"))


def test_store_when_the_file_or_folder_cannot_be_used_then_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        ResearchStore(tmp_path / "file")
    (tmp_path / "research.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(DatabaseCorrupt, match=r"research\.sqlite"):
        ResearchStore(tmp_path)


def test_backup_when_there_are_studies_then_they_come_back_and_older_archives_still_restore(folder: Path) -> None:
    without = backup(folder, folder / "backups")
    store = ResearchStore(folder)
    store.begin(STUDY)
    store.add_trials("s", [trial(0)], STAMP)
    store.close()
    archive = backup(folder, folder / "backups")
    Database.RESEARCH.path(folder).write_bytes(b"x" * 5000)
    for end in ("-wal", "-shm"):
        Database.RESEARCH.path(folder).with_name(f"research.sqlite{end}").unlink(missing_ok=True)
    told = check_at_start(folder)
    assert len(told) == 1
    assert archive.path.name in told[0]
    store = ResearchStore(folder)
    assert len(store.trials("s")) == 1
    store.close()
    restore(without.path, folder)
    store = ResearchStore(folder)
    assert len(store.trials("s")) == 1
    store.close()
