"""Who may look at a study's holdout, checked before any work is done and told with every result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput, CommandRefused
from engine.runtime.clock import SystemClock
from engine.simulation.study import StudyPlan, measured
from engine.storage.research import HoldoutTouch, ResearchStore, searched_before, touched_before

_NAMES_TOLD = 20


@dataclass(frozen=True, slots=True)
class AskedStudy:
    """What a person asks of a study: its name, whether he gave it himself, how many trials, and the one look."""

    name: str
    is_named: bool
    trials: int
    look: bool


def require_stored(asked: AskedStudy, plan: StudyPlan, store: ResearchStore) -> None:
    """Refuse a look at the holdout of a study that was named and does not exist, before anything is stored or run.

    Raises
    ------
    CommandRefused
        These days were looked at or searched already.
    BadInput
        Names the studies there are.
    """
    if not (asked.look and asked.is_named) or store.study(asked.name) is not None:
        return
    raise look_refusal(plan, store, asked.name) or BadInput(
        f"no study {asked.name}, so there is no holdout to look at; {_known(plan, store)}"
    )


def require_open(asked: AskedStudy, plan: StudyPlan, store: ResearchStore) -> None:
    """Refuse a look that may not be, or trials after it, of a stored study before any work is done.

    Raises
    ------
    CommandRefused
        Its holdout was looked at, or searched by another study; or the study ended with its look.
    """
    if asked.look and (found := look_refusal(plan, store, asked.name)):
        raise found
    touched = store.touched(asked.name)
    if touched is not None and measured(store.trials(asked.name)) < asked.trials:
        run = measured(store.trials(asked.name))
        raise CommandRefused(
            f"study {asked.name} ended on {utc_text(touched.touched_at)}, when its holdout was looked at, and cannot "
            f"go on. Read it with --trials {run}, or begin another study on newer candles"
        )


def look_refusal(plan: StudyPlan, store: ResearchStore, name: str) -> CommandRefused | None:
    """Why the holdout of a study may not be looked at; None where it may."""
    asked = touch_of(plan, name, {}, {})
    if earlier := store.touched_like(asked):
        return touched_before(earlier)
    if searched := store.searched_like(asked):
        return searched_before(searched)
    return None


def touch_of(plan: StudyPlan, name: str, settings: Mapping[str, Any], record: Mapping[str, Any]) -> HoldoutTouch:
    """A look at the plan's holdout now, with what was run and seen."""
    instruments = tuple(sorted(one.key for one in plan.setup.series))
    span = plan.layout.holdout
    at = SystemClock().now()
    return HoldoutTouch(name, plan.setup.strategy, instruments, span.start, span.stop, at, settings, record)


def _known(plan: StudyPlan, store: ResearchStore) -> str:
    strategy = plan.setup.strategy
    names = [one.name for one in store.studies() if one.strategy == strategy]
    if not names:
        return f"no study of {strategy} is stored. Search first, without the look"
    more = f" and {len(names) - _NAMES_TOLD:,} more" if len(names) > _NAMES_TOLD else ""
    return f"those of {strategy} are {', '.join(names[:_NAMES_TOLD])}{more}"
