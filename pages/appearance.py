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
    """The choices of this session, else of the installation; kept so that no rerun asks a store for them."""
    kept = st.session_state.get(_SLOT)
    if isinstance(kept, tuple):
        return Appearance(*kept)
    values = {row.name: row.value for row in console.settings()}
    chosen = Appearance(values.get(CURRENCY, ""), values.get(ZONE, "UTC"), values.get(DENSITY, "compact"))
    use(chosen)
    return chosen


def use(chosen: Appearance) -> None:
    """Show figures this way for the rest of the session."""
    st.session_state[_SLOT] = (chosen.currency, chosen.zone, chosen.density)


def can_be_kept(console: ConsolePort) -> bool:
    """Whether this installation has settings for them."""
    return any(row.name == ZONE for row in console.settings())


def as_settings(chosen: Appearance) -> tuple[tuple[str, str], ...]:
    """The choices under the names of the settings."""
    return ((CURRENCY, chosen.currency), (ZONE, chosen.zone), (DENSITY, chosen.density))


def currency_of(console: ConsolePort, base: str) -> str:
    """The display currency where there is a rate to it, else ``base``."""
    wished = current(console).currency
    return wished if wished and wished != base and console.convert(Decimal(1), wished) is not None else base


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
