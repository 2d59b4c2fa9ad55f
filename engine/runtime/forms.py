"""Forms drawn from pydantic configurations: label, kind, bounds and choices of every field."""

from __future__ import annotations

import types
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.domain.views import FormField


def form_of(model: type[BaseModel], values: Mapping[str, Any]) -> tuple[FormField, ...]:
    """The form of a configuration with its present values (JSON values; a missing one shows the default)."""
    return tuple(_field(name, info, values) for name, info in model.model_fields.items())


def _field(name: str, info: FieldInfo, values: Mapping[str, Any]) -> FormField:
    kind, choices = _kind(info.annotation)
    default = _plain(info.get_default(call_default_factory=True))
    lower, upper = _bounds(info)
    return FormField(
        name=name,
        label=info.description or name,
        kind=kind,
        value=values.get(name, default),
        default=default,
        minimum=lower,
        maximum=upper,
        choices=choices,
    )


def _kind(annotation: Any) -> tuple[str, tuple[str, ...]]:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "choice", tuple(str(member.value) for member in annotation)
    if annotation is bool:
        return "boolean", ()
    if annotation is int:
        return "integer", ()
    if annotation in (float, Decimal):
        return "number", ()
    return "text", ()


def _bounds(info: FieldInfo) -> tuple[float | None, float | None]:
    lower = upper = None
    for rule in info.metadata:
        if isinstance(rule, Ge | Gt):
            lower = float(rule.ge if isinstance(rule, Ge) else rule.gt)  # type: ignore[arg-type]
        if isinstance(rule, Le | Lt):
            upper = float(rule.le if isinstance(rule, Le) else rule.lt)  # type: ignore[arg-type]
    return lower, upper


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Decimal) else value
