"""Draws our own pages: no script, no framework, every value escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

from engine.api.headers import PLAIN_POLICY

MARK = '<img class="mark" src="/quarterdeck/mark.svg" alt="" width="44" height="44">'


@dataclass(frozen=True, slots=True)
class Field:
    """One labelled input; ``auto`` tells password managers what it is."""

    name: str
    label: str
    kind: str = "text"
    auto: str = "off"
    value: str = ""
    hint: str = ""
    focus: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A form that posts to ``action``; ``hidden`` fields carry its key."""

    action: str
    hidden: Mapping[str, str]
    fields: Sequence[Field]
    button: str
    danger: bool = False


def page(title: str, body: str, status: int = 200, refresh_s: int | None = None) -> HTMLResponse:
    """A whole page with its policy; ``refresh_s`` lets the browser ask again by itself."""
    refresh = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    document = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<meta name="robots" content="noindex">
{refresh}<title>{escape(title)} · Quarterdeck</title>
<link rel="icon" href="/quarterdeck/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/quarterdeck/style.css">
</head>
<body>
<main class="card">
{body}
</main>
</body>
</html>
"""
    return HTMLResponse(document, status, {"content-security-policy": PLAIN_POLICY, "cache-control": "no-store"})


def heading(title: str, line: str) -> str:
    """Mark, title and one line under it."""
    return f'<header>{MARK}<div><h1>{escape(title)}</h1><p class="line">{escape(line)}</p></div></header>'


def message(text: str, kind: str = "error") -> str:
    """A box above a form, read out by screen readers; nothing for an empty text. Kinds: error, note, good."""
    if not text:
        return ""
    role = "alert" if kind == "error" else "status"
    return f'<p class="message {kind}" role="{role}">{escape(text[:1].upper() + text[1:])}</p>'


def form(wanted: Form) -> str:
    """The form."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in wanted.hidden.items()
    )
    inputs = "".join(_input(field) for field in wanted.fields)
    kind = "danger" if wanted.danger else "primary"
    return (
        f'<form method="post" action="{escape(wanted.action)}">{hidden}{inputs}'
        f'<button class="{kind}" type="submit">{escape(wanted.button)}</button></form>'
    )


def link(target: str, text: str) -> str:
    """A quiet link under a form."""
    return f'<p class="aside"><a href="{escape(target)}">{escape(text)}</a></p>'


def _input(field: Field) -> str:
    hint = f'<span class="hint" id="{field.name}-hint">{escape(field.hint)}</span>' if field.hint else ""
    described = f' aria-describedby="{field.name}-hint"' if field.hint else ""
    focus = " autofocus" if field.focus else ""
    return (
        f'<label for="{field.name}">{escape(field.label)}</label>'
        f'<input id="{field.name}" name="{field.name}" type="{field.kind}" value="{escape(field.value)}" '
        f'autocomplete="{field.auto}" autocapitalize="none" spellcheck="false" maxlength="256" required'
        f"{described}{focus}>{hint}"
    )


def stop_state(status: Mapping[str, Any]) -> str:
    """Every book with its state and, where a stop is under way, the steps proven so far."""
    books = status.get("books") or ()
    if not books:
        return message("no book is running; there is nothing to stop", "note")
    return "".join(_book(book) for book in books)


def _book(book: Mapping[str, Any]) -> str:
    name, state = escape(str(book.get("name", ""))), escape(str(book.get("state", "unknown")))
    steps = "".join(
        f"<li><b>{escape(str(step.get('step', '')))}</b> <span>{escape(str(step.get('detail', '')))}</span></li>"
        for step in book.get("steps") or ()
    )
    waiting = str(book.get("waiting_for") or "")
    pending = f'<li class="pending"><b>waiting</b> <span>{escape(waiting)}</span></li>' if waiting else ""
    verdict = _verdict(book)
    listing = f'<ol class="steps">{steps}{pending}</ol>' if steps or pending else ""
    return f'<section class="book"><h2>{name} <span class="state">{state}</span>{verdict}</h2>{listing}</section>'


def _verdict(book: Mapping[str, Any]) -> str:
    if not book.get("latched"):
        return ""
    if book.get("flat"):
        return '<span class="verdict flat">✓ VERIFIED FLAT</span>'
    return '<span class="verdict open">✕ NOT FLAT</span>'
