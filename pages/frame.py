"""Every page inside one frame: style, header, guard; and the list of pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from pages import (
    alerts,
    appearance,
    audit,
    data,
    exchanges,
    header,
    health,
    overview,
    positions,
    replay,
    research,
    risk,
    settings,
    strategies,
    tax,
    theme,
    wallets,
)
from pages.format import safe
from pages.guard import guarded

ICON = Path(__file__).with_name("quarterdeck.svg")
"""A file of our own: a named icon would be fetched from a foreign server."""

WATCH = '<script src="/quarterdeck/watch.js"></script>'
"""Runs in the browser: counts ages on, and says so when the console's server has died. Of our own server alone."""

Render = Callable[[ConsolePort], None]


@dataclass(frozen=True, slots=True)
class Place:
    """A page: its address, its title and icon in the navigation, and what draws it."""

    address: str
    title: str
    icon: str
    render: Render


PLACES: dict[str, tuple[Place, ...]] = {
    "Trade": (
        Place("overview", "Overview", ":material/space_dashboard:", overview.render),
        Place("positions", "Positions", ":material/candlestick_chart:", positions.render),
        Place("strategies", "Strategies", ":material/conversion_path:", strategies.render),
        Place("replay", "Replay", ":material/history:", replay.render),
        Place("research", "Research", ":material/science:", research.render),
    ),
    "Capital": (
        Place("wallets", "Wallets", ":material/account_balance_wallet:", wallets.render),
        Place("exchanges", "Exchanges", ":material/hub:", exchanges.render),
        Place("risk", "Risk", ":material/speed:", risk.render),
        Place("tax", "Tax", ":material/receipt_long:", tax.render),
    ),
    "System": (
        Place("data", "Data", ":material/database:", data.render),
        Place("health", "Health", ":material/monitor_heart:", health.render),
        Place("alerts", "Alerts", ":material/notifications:", alerts.render),
        Place("audit", "Audit", ":material/policy:", audit.render),
        Place("settings", "Settings", ":material/settings:", settings.render),
    ),
}


def run(console: ConsolePort) -> None:
    """Draw the page the address asks for; `st.set_page_config` has been called."""
    guarded(_style)(console)
    chosen = st.navigation(
        {group: [_page(place, console) for place in places] for group, places in PLACES.items()}, expanded=True
    )
    guarded(_signed_in)(console)
    header.render(console)
    st.html(WATCH, unsafe_allow_javascript=True)
    chosen.run()


def _signed_in(console: ConsolePort) -> None:
    actor = console.actor
    who = f"{safe(actor.name)} · {safe(actor.role.value)}"
    if not actor.role.allows(Role.OPERATOR):
        who += "<br>A viewer looks; to act, ask an admin for the role operator."
    st.sidebar.html(f'<div class="qd-who">{who}<br><a href="/signout" target="_self">Sign out</a></div>')


def _style(console: ConsolePort) -> None:
    theme.inject("compact")
    if appearance.current(console).density == "roomy":
        theme.inject("roomy")


def _page(place: Place, console: ConsolePort) -> st.Page:
    def draw() -> None:
        guarded(place.render)(console)

    default = place.address == "overview"
    return st.Page(draw, title=place.title, icon=place.icon, url_path=place.address, default=default)
