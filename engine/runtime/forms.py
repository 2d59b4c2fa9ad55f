"""Forms drawn from pydantic configurations: label, kind, bounds and choices of every field."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.domain.views import FormField

SHARE = "share"

_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def form_of(
    model: type[BaseModel],
    values: Mapping[str, Any],
    first: Mapping[str, Any] = _NOTHING,
    units: Mapping[str, str] = _NOTHING,
) -> tuple[FormField, ...]:
    """The form of a configuration.

    Parameters
    ----------
    model : type of BaseModel
    values : mapping
        Present values (JSON values); a missing one shows the default.
    first : mapping, optional
        What the installation starts this configuration with: the default of a field that it names.
    units : mapping, optional
        Unit by field; ``share`` is read and entered as percent, and its label says so.

    Raises
    ------
    ValidationError
        ``first`` does not fit the model.
    """
    own = model.model_validate(first).model_dump(mode="json", include=set(first))
    return tuple(_field(name, info, values, own, units.get(name, "")) for name, info in model.model_fields.items())


def _field(name: str, info: FieldInfo, values: Mapping[str, Any], first: Mapping[str, Any], unit: str) -> FormField:
    kind, choices = _kind(info.annotation)
    default = first.get(name, _plain(info.get_default(call_default_factory=True)))
    lower, upper = _bounds(info)
    label = info.description or name
    return FormField(
        name=name,
        label=re.sub(r"\bshare\b", "%", label) if unit == SHARE else label,
        kind=kind,
        value=values.get(name, default),
        default=default,
        minimum=lower,
        maximum=upper,
        choices=choices,
        unit=unit,
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
