"""The stages at real exchanges: what each needs, how to reach it, starting, arming and stopping."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from decimal import Decimal

import streamlit as st

from engine.domain.commands import ArmLive
from engine.domain.errors import BadInput
from engine.domain.facade import ConsolePort
from engine.domain.portfolio import BookSnapshot
from engine.domain.stage_views import StageCondition, StageView
from pages import actions, confirm, header, parts, tables
from pages import format as fmt
from pages.access import missing_role_for
from pages.actions import Act
from pages.confirm import Look, Opener, Proof, Question, Request
from pages.format import Html
from pages.guard import guarded, live
from pages.tables import Column

ARM = "arm-live"
PROVEN_STAGE = "live"
TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,8})?")
_WAYS = {
    "connection": "Connect an account below, then choose it here.",
    "key": "Press Test beside the account below. A key that can withdraw, or of which that is unknown, is refused.",
    "no key": "Add it beside the account below.",
    "reconciliation": "Comes by itself once books and exchange were compared. What differs is listed on Audit.",
    "promotion": "Promote a strategy on the Strategies page: it must have shown enough in the book before.",
    "arming": "Arm the book below; it asks for your password.",
    "state": "Re-arm or release the book on the Risk page.",
}
"""How a condition is reached, by its name."""


def draw(console: ConsolePort, unproven: str) -> None:
    """Draw both stages; what needs no account is said first.

    Parameters
    ----------
    console : ConsolePort
    unproven : str
        Why the live book can be neither started nor stopped yet, where the password was not proven.
    """
    st.caption(
        "Demo and paper need no account and no key: demo trades a simulated market, paper trades real prices with play "
        "money. The stages below trade at an exchange."
    )
    views = {view.stage: view for view in console.stages()}
    left, right = st.columns(2, gap="medium")
    for slot, name in zip((left, right), views, strict=False):
        with slot:
            guarded(_stage)(console, views[name], unproven if name == PROVEN_STAGE else "")


def dialog(console: ConsolePort) -> None:
    """The question before a book is armed, if it is open."""
    name = confirm.dialog_subject(ARM)
    if name is None:
        return
    book = next((book for book in console.snapshot().books if book.name == name), None)
    lines = (
        "From now on this book may open positions with real money, by every strategy promoted to it.",
        *(() if book is None else (f"The most it may use: {fmt.money(book.capital, book.base_currency)}.",)),
        "It is disarmed by a stop, and when the engine runs on another machine.",
        *(f"Missing: {fmt.sentence(why)}" for _, why in (book.obstacles if book is not None else ())),
    )
    request = Request(ARM, ArmLive(name), "armed by hand", "arm-reason")
    confirm.ask(console, Question(f"Arm the {name} book", lines, request, Look("Arm it now", "primary"), Proof.ALWAYS))


def _stage(console: ConsolePort, view: StageView, blocked: str) -> None:
    with st.container(border=True):
        live(_head, every_s=2)(console, view.stage)
        st.caption(view.note)
        live(_conditions, every_s=2)(console, view.stage)
        if view.running:
            _running(console, view, blocked)
        else:
            _setup(console, view, blocked)
        actions.outcome(f"stage-{view.stage}")


def _view(console: ConsolePort, stage: str) -> StageView:
    return next(view for view in console.stages() if view.stage == stage)


def _book(console: ConsolePort, stage: str) -> BookSnapshot | None:
    return next((book for book in console.snapshot().books if book.stage == stage), None)


def _head(console: ConsolePort, stage: str) -> None:
    view, book = _view(console, stage), _book(console, stage)
    badges = parts.badge("running", "accent") if view.running else parts.badge("not running", "dim")
    if book is not None:
        badges = Html(badges + header.state_badge(book, absent=bool(console.absence())) + _armed(book))
    st.html(f'<div><b>{fmt.safe(view.title)}</b> <span class="qd-badges">{badges}</span></div>')
    if view.running:
        facts = (
            f"{', '.join(view.chosen)} · {', '.join(view.symbols)} · {view.timeframe} candles · at most "
            f"{fmt.money(view.capital, view.currency)} at each venue"
        )
        st.html(f'<div class="qd-dim">{fmt.safe(facts)}</div>')


def _armed(book: BookSnapshot) -> Html:
    if not book.needs_arming:
        return Html("")
    return parts.badge("armed", "stop") if book.armed else parts.badge("not armed", "dim")


def _conditions(console: ConsolePort, stage: str) -> None:
    view = _view(console, stage)
    needs = dict(view.by_account)
    rows = [*(row for account in _accounts(view) for row in needs.get(account, ())), *view.conditions]
    if not _accounts(view):
        rows.insert(0, StageCondition("connection", "Account", False, "no account was chosen"))
    missing = {row.name for row in rows if row.ok is False}
    columns: tuple[Column[StageCondition], ...] = (
        Column("Needs", lambda row: row.title),
        Column("State", verdict),
        Column("Found, and how to reach it", lambda row: _found(row, _way(row, view, missing)), wraps=True),
    )
    tables.draw(columns, rows, "Nothing is needed.")


def _accounts(view: StageView) -> tuple[str, ...]:
    """The accounts it trades while it runs, else those chosen in the form: by hand, as they were last, or the first."""
    if view.running or not view.connections:
        return view.chosen
    picked = st.session_state.get(f"stage-{view.stage}-account")
    if picked is not None:
        return tuple(each for each in picked if each in view.connections)
    return tuple(each for each in view.chosen if each in view.connections) or view.connections[:1]


def _way(row: StageCondition, view: StageView, missing: Collection[str]) -> str:
    """How a condition is reached: the one step that leads on, where several would not."""
    if row.ok:
        return ""
    if row.name == "arming" and not view.running:
        return "Start the book first, then arm it here."
    if row.name == "state" and "arming" in missing:
        return "Arming makes it ACTIVE; a stop is released on the Risk page before."
    if row.name == "state" and "key" in missing:
        return "It can be set again once the key works."
    return _WAYS.get(row.name, "")


def _found(row: StageCondition, way: str) -> Html:
    told = fmt.sentence(fmt.named(row.detail))
    end = "." if way and not told.endswith(".") else ""
    return Html(f'{fmt.safe(told + end)} <span class="qd-dim">{fmt.safe(way)}</span>')


def verdict(row: StageCondition) -> Html:
    """Ok, missing or unknown, in words and colour."""
    if row.ok is None:
        return parts.badge("unknown", "warn")
    return parts.badge("ok", "accent") if row.ok else parts.badge("missing", "warn")


def _running(console: ConsolePort, view: StageView, blocked: str) -> None:
    live(_arming)(console, view.stage)
    with st.container(horizontal=True, vertical_alignment="center"):
        stop = _stopper(console, view.stage)
        label = f"Stop the {view.stage} book"
        actions.button(console, Act(f"stage-stop-{view.stage}", label, stop, slot=_slot(view), blocked=blocked))
        st.caption("Positions and the stops that rest at the exchange stay there; only the red button closes them.")


def _arming(console: ConsolePort, stage: str) -> None:
    book = _book(console, stage)
    if book is None or not book.needs_arming or book.armed:
        return
    missing = "; ".join(why for _, why in book.obstacles)
    blocked = missing_role_for(console.actor, ArmLive) or missing
    confirm.opener(Opener(f"arm-{stage}", "Arm this book…", ARM, book.name, blocked))
    st.caption(f"Cannot be armed yet: {missing}." if missing else "Not armed: it opens no position.")


def _slot(view: StageView) -> str:
    return f"stage-{view.stage}"


def _stopper(console: ConsolePort, stage: str) -> Callable[[], str]:
    def stop() -> str:
        console.stop_stage(stage)
        return f"The {stage} book is being stopped. What it holds stays at the exchange, with its stops."

    return stop


def _setup(console: ConsolePort, view: StageView, unproven: str) -> None:
    if not view.connections:
        parts.notice(
            f"No connected account fits: the {view.stage} book needs "
            + ("one of a sandbox." if view.stage == "testnet" else "one with real money.")
        )
    blocked = unproven or ("" if view.connections else "Connect an account that fits first")
    key = f"stage-{view.stage}"
    label = "Accounts, one at each exchange"
    if view.connections:
        st.session_state[f"{key}-account"] = list(_accounts(view))
        st.multiselect(label, view.connections, key=f"{key}-account", placeholder="none chosen")
    else:
        st.multiselect(label, (), key=f"{key}-no-account", placeholder="none fits", disabled=True)
    with st.form(key, border=False):
        st.text_input("Symbols, comma separated", value=", ".join(view.symbols), key=f"{key}-symbols")
        left, right = st.columns(2)
        known = (*TIMEFRAMES, *(() if view.timeframe in TIMEFRAMES else (view.timeframe,)))
        left.selectbox("Candles", known, index=known.index(view.timeframe), key=f"{key}-timeframe")
        right.text_input(
            f"Most it may use at each venue, {view.currency}",
            value=fmt.quantity(view.capital).replace(",", ""),
            key=f"{key}-capital",
        )
        label = f"Start the {view.stage} book"
        start = _starter(console, view.stage)
        actions.submit(console, Act(f"{key}-start", label, start, slot=_slot(view), kind="primary", blocked=blocked))


def _starter(console: ConsolePort, stage: str) -> Callable[[], str]:
    def start() -> str:
        state, key = st.session_state, f"stage-{stage}"
        symbols = [part.strip().upper() for part in str(state.get(f"{key}-symbols", "")).split(",") if part.strip()]
        capital = _amount(str(state.get(f"{key}-capital", "")))
        accounts = [str(each) for each in state.get(f"{key}-account") or ()]
        if not accounts:
            raise BadInput("no account was chosen; connect one below, then choose it here")
        console.start_stage(stage, accounts, symbols, str(state.get(f"{key}-timeframe")), capital)
        return f"The {stage} book starts at {', '.join(accounts)}; its conditions are above."

    return start


def _amount(text: str) -> Decimal:
    typed = text.strip().replace(" ", "")
    if not _AMOUNT.fullmatch(typed):
        raise BadInput(f"the amount {text!r} is not a number; write it like 1000 or 1000.50")
    return Decimal(typed)
