"""How a person wants figures shown: display currency, time zone and density, read once a session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import streamlit as st

from engine.domain.facade import ConsolePort
from pages import format as fmt
from pages.format import Html, safe

CURRENCY = "display.currency"
ZONE = "display.time_zone"
DENSITY = "display.density"
_SLOT = "appearance-kept"


@dataclass(frozen=True, slots=True)
class Appearance:
    """``currency`` is empty where everything stays in the book's base currency."""

    currency: str = ""
    zone: str = "UTC"
    density: str = "compact"

    def moment(self, at: datetime | None) -> str:
        """Date and time in the chosen zone."""
        return fmt.moment(at, self.zone)

    def clock(self, at: datetime | None) -> str:
        """Time of day in the chosen zone."""
        return fmt.moment(at, self.zone, date=False)


def current(console: ConsolePort) -> Appearance:
    """The choices of this installation; kept for the session so that no rerun asks a store for them."""
    kept = st.session_state.get(_SLOT)
    if isinstance(kept, tuple):
        return Appearance(*kept)
    values = {row.name: row.value for row in console.settings()}
    chosen = Appearance(values.get(CURRENCY, ""), values.get(ZONE, "UTC"), values.get(DENSITY, "compact"))
    st.session_state[_SLOT] = (chosen.currency, chosen.zone, chosen.density)
    return chosen


def forget() -> None:
    """Read the choices again at the next run."""
    st.session_state.pop(_SLOT, None)


def converted(console: ConsolePort, amount: Decimal, base: str) -> Html:
    """The amount in the display currency with the rate's source, or nothing where none is chosen or known."""
    currency = current(console).currency
    if not currency or currency == base:
        return Html("")
    answer = console.convert(amount, currency)
    if answer is None:
        return safe(f"no rate to {currency}")
    value, source = answer
    return safe(f"≈ {fmt.money(value, currency)} ({source})")
