"""Who may look at a study's holdout, checked before any work is done and told with every result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput, CommandRefused
from engine.simulation.study import StudyPlan, measured
from engine.storage.research import HoldoutTouch, ResearchStore, searched_before, touched_before

_NAMES_TOLD = 20


@dataclass(frozen=True, slots=True)
class AskedStudy:
    """What a person asks of a study, and when: its name, whether he gave it himself, how many trials, the one look."""

    name: str
    is_named: bool
    trials: int
    look: bool
    at: datetime


def require_stored(asked: AskedStudy, plan: StudyPlan, store: ResearchStore) -> None:
    """Refuse a look at the holdout without the name of a study that exists, before anything is stored or run.

    Raises
    ------
    CommandRefused
        These days were looked at or searched already.
    BadInput
        No name was given, or none of a study; names those there are.
    """
    if not asked.look or (asked.is_named and store.study(asked.name) is not None):
        return
    if not asked.is_named:
        raise BadInput(
            "--holdout-report needs --study NAME: the holdout is looked at once and for all, so search first without "
            f"the look, read what was found, then look at that study by its name; {_known(plan, store)}"
        )
    raise look_refusal(plan, store, asked) or BadInput(
        f"no study {asked.name}, so there is no holdout to look at; {_known(plan, store)}"
    )


def require_open(asked: AskedStudy, plan: StudyPlan, store: ResearchStore) -> None:
    """Refuse a look that may not be, or trials after it, of a stored study before any work is done.

    Raises
    ------
    CommandRefused
        Its holdout was looked at, or searched by another study; or the study ended with its look.
    BadInput
        The look would search on first: looking is a step of its own, after what was found has been read.
    """
    if asked.look and (found := look_refusal(plan, store, asked)):
        raise found
    touched, run = store.touched(asked.name), measured(store.trials(asked.name))
    if asked.look and run < asked.trials:
        shorter = f", or look at what it has with --trials {run}" if run else ""
        raise BadInput(
            f"study {asked.name} has {run:,} of {asked.trials:,} trials, and a look does not search; search first "
            f"without --holdout-report{shorter}"
        )
    if touched is not None and run < asked.trials:
        raise CommandRefused(
            f"study {asked.name} ended on {utc_text(touched.touched_at)}, when its holdout was looked at, and cannot "
            f"go on. Read it with --trials {run}, or begin another study on newer candles"
        )


def look_refusal(plan: StudyPlan, store: ResearchStore, asked: AskedStudy) -> CommandRefused | None:
    """Why the holdout of a study may not be looked at; None where it may."""
    touch = touch_of(plan, asked)
    if earlier := store.touched_like(touch):
        return touched_before(earlier)
    if searched := store.searched_like(touch):
        return searched_before(searched)
    return None


def touch_of(plan: StudyPlan, asked: AskedStudy) -> HoldoutTouch:
    """A look at the plan's holdout that nothing was run for yet."""
    instruments = tuple(sorted(one.key for one in plan.setup.series))
    span = plan.layout.holdout
    return HoldoutTouch(asked.name, plan.setup.strategy, instruments, span.start, span.stop, asked.at, {}, {})


def _known(plan: StudyPlan, store: ResearchStore) -> str:
    strategy = plan.setup.strategy
    names = [one.name for one in store.studies() if one.strategy == strategy]
    if not names:
        return f"no study of {strategy} is stored. Search first, without the look"
    more = f" and {len(names) - _NAMES_TOLD:,} more" if len(names) > _NAMES_TOLD else ""
    return f"those of {strategy} are {', '.join(names[:_NAMES_TOLD])}{more}"
