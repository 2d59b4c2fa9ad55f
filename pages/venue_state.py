"""What a venue says of itself: its condition in words, how much of its limit is used, how far its clock is off."""

from __future__ import annotations

from datetime import datetime

from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.portfolio import FeedView
from pages import format as fmt
from pages import parts
from pages.appearance import Appearance
from pages.format import Html

WARN_USE = 0.8
WARN_OFFSET_MS = 1000
_SILENT_AFTER_S = 5.0
_UNREAD = (
    "They are not booked, and asked for at every look. Nothing is opened there meanwhile; exits and stops go on. Look "
    "at the exchange's own list of trades. What can never be read is set aside by its number or name, ROW, with"
)
_WAY_OUT = Html("<code>python -m engine reconcile --set-aside ROW --reason TEXT</code>")
_ASIDE = "Nothing waits for them any more. Each is booked once it can be read."
_TONES = {VenueState.ONLINE: "accent", VenueState.DEGRADED: "warn"}


def state(feed: FeedView, now: datetime, look: Appearance) -> Html:
    """The condition with what it means, since when and until when; a simulated venue is online or not."""
    if feed.condition is None:
        return _simulated(feed, now)
    told = feed.condition
    badge = parts.badge(told.state.value, _TONES.get(told.state, "stop"))
    words = [told.state.words] if told.state is not VenueState.ONLINE else []
    words += [f"since {look.moment(told.since)}"] if told.since and told.state is not VenueState.ONLINE else []
    words += [f"until {look.moment(told.until)}"] if told.until else []
    return Html(f'{badge} <span class="qd-dim">{fmt.safe(" · ".join(words))}</span>')


def _simulated(feed: FeedView, now: datetime) -> Html:
    """Online only where data comes: a venue that is back, or loses its bars, is silent until the next one."""
    if not feed.online:
        return parts.badge("OFFLINE", "warn")
    age_s = fmt.seconds_since(feed.last_wall_time, now)
    silent = feed.simulated and (age_s is None or age_s > _SILENT_AFTER_S)
    return parts.badge("online, no data", "warn") if silent else parts.badge("online", "accent")


def used(feed: FeedView) -> Html:
    """The share of the venue's request limit that is used, with a bar; a warning from 80 % on."""
    share = None if feed.condition is None else feed.condition.used_share
    if share is None:
        return fmt.safe(fmt.NONE)
    text = fmt.percent(share, 0)
    if share >= WARN_USE:
        return Html(f"{parts.badge(f'{text}, near the limit', 'warn')} {parts.bar(share, 'warn')}")
    return Html(f"{fmt.safe(text)} {parts.bar(share)}")


def offset(feed: FeedView) -> Html:
    """The venue's clock less ours; a warning where a second or more apart."""
    told = None if feed.condition is None else feed.condition.offset_ms
    if told is None:
        return fmt.safe(fmt.NONE)
    text = f"{fmt.number(told, 0, signed=True)} ms"
    return parts.badge(text, "warn") if abs(told) >= WARN_OFFSET_MS else fmt.safe(text)


def answered(feed: FeedView, now: datetime) -> Html:
    """How long ago the venue last answered anything; of a simulated one, when its data last came."""
    if feed.condition is not None:
        age_s = fmt.seconds_since(feed.condition.last_answer_at, now)
        return fmt.safe("never" if age_s is None else f"{fmt.age(age_s)} ago")
    age_s = fmt.seconds_since(feed.last_wall_time, now)
    text = "never" if age_s is None else f"{fmt.age(age_s)} ago"
    return parts.aged(feed.last_wall_time, now, text) if feed.simulated or age_s is None else fmt.safe(text)


def latency(feed: FeedView) -> str:
    """How long the last answer took."""
    told: VenueCondition | None = feed.condition
    return fmt.latency(told.latency_s if told is not None else feed.latency_s)


def detail(feed: FeedView) -> str:
    """Why it is so, and what is waited for."""
    told = () if feed.condition is None else _told(feed.condition)
    lines = [fmt.sentence(line) for line in (*told, feed.detail, feed.awaits) if line]
    return ". ".join(dict.fromkeys(lines))


def _told(condition: VenueCondition) -> tuple[str, ...]:
    """Why the venue stands as it does, why entries wait there, and on which instruments nothing is opened."""
    failing = f"questions to it bring no usable answer: {condition.trouble}" if condition.trouble else ""
    closed = tuple(f"nothing is opened on {fmt.instrument(key)}: {why}" for key, why in condition.closed)
    return (condition.detail, condition.waits, condition.instead, failing, *closed)


def say_unread(book: str, feed: FeedView) -> None:
    """Name the executions that cannot be read, what follows and the way out, and those set aside; nothing where none.

    ``book`` is the one that trades there.
    """
    told, where = feed.condition, f"at {feed.venue} ({book} book)"
    if told is None:
        return
    if told.unreadable:
        title = f"<b>{fmt.safe(f'Executions {where} cannot be read')}</b>"
        parts.notice(Html(f"{title}{parts.bullets(told.unreadable)}{fmt.safe(_UNREAD)} {_WAY_OUT}"), "warn")
    if told.aside:
        title = f"<b>{fmt.safe(f'Executions {where} set aside')}</b>"
        parts.notice(Html(f"{title}{parts.bullets(told.aside)}{fmt.safe(_ASIDE)}"))
