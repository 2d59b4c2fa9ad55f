"""Forms drawn from field descriptions: drafts that hold, what would change, and what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import streamlit as st

from engine.domain.views import FormField
from pages import format as fmt
from pages.format import Html, safe

SHARE = "share"
"""Unit of fields that are stored as shares (0 to 1) and read and entered in percent."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Values of a form by field name, the fields that differ from what is in force, and what is wrong."""

    values: dict[str, Any]
    changes: tuple[tuple[str, str, str], ...]
    errors: tuple[str, ...]

    @property
    def as_json(self) -> str:
        """The values as the configuration is stored."""
        return json.dumps(self.values)


def entered(key: str, fields: Sequence[FormField]) -> Draft:
    """The draft as it is at this instant, for callbacks: what was typed just before a click is in it."""
    drawn = {field.name: st.session_state.get(f"{key}-{field.name}", _shown_first(field)) for field in fields}
    values = {field.name: _kept_type(field, drawn[field.name]) for field in fields}
    errors = [problem for field in fields for problem in _problems(field, drawn[field.name])]
    return Draft(values, changes(fields, values), tuple(errors))


def draw(key: str, fields: Sequence[FormField], *, disabled: bool = False, columns: int = 3) -> Draft:
    """Draw the fields in columns and read the draft back."""
    values: dict[str, Any] = {}
    errors: list[str] = []
    slots = [slot for _ in range(0, len(fields), columns) for slot in st.columns(columns, vertical_alignment="bottom")]
    for slot, field in zip(slots, fields, strict=False):
        with slot:
            drawn = _widget(f"{key}-{field.name}", field, disabled)
        values[field.name] = _kept_type(field, drawn)
        errors.extend(_problems(field, drawn))
    return Draft(values, changes(fields, values), tuple(errors))


def changes(fields: Sequence[FormField], values: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """``(label, in force, wished)`` of every field that differs."""
    return tuple(
        (field.label, _read(field, field.value), _read(field, values[field.name]))
        for field in fields
        if shown(field.value) != shown(values[field.name])
    )


def percent_of(share: Any) -> Decimal | None:
    """A stored share as the percent that people read and enter; `share_of` is the way back.

    >>> percent_of("0.02"), percent_of(0.29), percent_of(None)
    (Decimal('2.00'), Decimal('29.00'), None)
    """
    return None if share in (None, "") else Decimal(str(share)) * 100


def share_of(percent: float | None) -> str | None:
    """The percent of a form as the share that is stored.

    >>> share_of(2.5), share_of(100.0), share_of(None)
    ('0.025', '1', None)
    """
    return None if percent is None else f"{Decimal(repr(float(percent))).scaleb(-2).normalize():f}"


def _read(field: FormField, value: Any) -> str:
    return read(value, field.unit)


def read(value: Any, unit: str = "") -> str:
    """A stored value as people read it: a share in percent.

    >>> read("0.1", "share"), read("0.10"), read("", "share")
    ('10 %', '0.1', '—')
    """
    if unit != SHARE or value in (None, ""):
        return shown(value)
    return f"{shown(percent_of(value))} %"


def shown(value: Any) -> str:
    """A value of a field as text: 0.50 and 0.5 are the same.

    >>> shown(True), shown("0.50"), shown(12.0), shown(None), shown("sma")
    ('yes', '0.5', '12', '—', 'sma')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return fmt.NONE
    if isinstance(value, int | float | Decimal) or _is_number(value):
        return fmt.quantity(Decimal(str(value)))
    return str(value)


def differences(changed: Sequence[tuple[str, str, str]]) -> tuple[Html, ...]:
    """What applying would change, one line a field."""
    return tuple(Html(f"{safe(label)}: {safe(old)} → <b>{safe(new)}</b>") for label, old, new in changed)


def reset(key: str, fields: Sequence[FormField]) -> None:
    """Button callback: drop the draft, so that the form shows what is in force."""
    for field in fields:
        st.session_state.pop(f"{key}-{field.name}", None)


def _widget(key: str, field: FormField, disabled: bool) -> Any:
    label, tip = field.label, _bounds(field)
    match field.kind:
        case "boolean":
            return st.toggle(
                label, value=bool(field.value), key=key, disabled=disabled, help=tip, persist_state="session"
            )
        case "choice":
            index = field.choices.index(str(field.value)) if str(field.value) in field.choices else 0
            return st.selectbox(
                label, field.choices, index=index, key=key, disabled=disabled, help=tip, persist_state="session"
            )
        case "integer":
            return _integer(key, field, disabled)
        case "number":
            return _decimal(key, field, disabled)
        case _:
            return st.text_input(
                label, value=shown_text(field.value), key=key, disabled=disabled, help=tip, persist_state="session"
            )


def _integer(key: str, field: FormField, disabled: bool) -> int | None:
    return st.number_input(
        field.label,
        value=None if field.value in (None, "") else int(field.value),
        min_value=None if field.minimum is None else int(field.minimum),
        max_value=None if field.maximum is None else int(field.maximum),
        step=1,
        key=key,
        disabled=disabled,
        help=_bounds(field),
        persist_state="session",
    )


def _decimal(key: str, field: FormField, disabled: bool) -> float | None:
    value, lowest, highest = (_entered(field, known) for known in (field.value, field.minimum, field.maximum))
    return st.number_input(
        field.label,
        value=value,
        min_value=lowest,
        max_value=highest,
        step=_step(value or 0.0),
        format="%.10g",
        key=key,
        disabled=disabled,
        help=_bounds(field),
        persist_state="session",
    )


def _shown_first(field: FormField) -> Any:
    return _entered(field, field.value) if field.kind == "number" else field.value


def _entered(field: FormField, value: Any) -> float | None:
    """A stored number as the form holds it: a share in percent."""
    known = percent_of(value) if field.unit == SHARE else value
    return None if known in (None, "") else float(known)


def _step(value: float) -> float:
    """A tenth of the value's own size, so that the arrows do something sensible."""
    return 10.0 ** (len(str(int(abs(value)))) - 2) if abs(value) >= 1 else 0.01 if abs(value) >= 0.05 else 0.001


def _bounds(field: FormField) -> str:
    low, high = _read(field, field.minimum), _read(field, field.maximum)
    bounds = "" if field.minimum is None and field.maximum is None else f"From {low} to {high}. "
    return f"{bounds}Default: {_read(field, field.default)}."


def _problems(field: FormField, value: Any) -> list[str]:
    if value is None and field.value is not None:
        return [f"{field.label} is empty"]
    if field.kind == "text" and not str(value or "").strip() and field.value:
        return [f"{field.label} is empty"]
    return []


def _kept_type(field: FormField, value: Any) -> Any:
    """Decimals travel as text in the configuration; a form must not turn them into floats."""
    if field.unit == SHARE:
        return share_of(value)
    if field.kind == "number" and value is not None and isinstance(field.value, str):
        return str(Decimal(repr(value)))
    if field.kind == "text" and isinstance(field.value, list | tuple):
        return [part.strip() for part in str(value).split(",") if part.strip()]
    return value


def shown_text(value: Any) -> str:
    """A list as comma separated text, all else as it is."""
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return "" if value is None else str(value)


def _is_number(value: object) -> bool:
    text = str(value)
    return text.replace(".", "", 1).replace("-", "", 1).isascii() and text.replace(".", "", 1).lstrip("-").isdigit()
