"""What may be searched: a strategy's settings with their bounds, less those a person fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from engine.domain.errors import BadInput

Value = bool | int | float | str

_LOGARITHMIC_FROM = 50.0
"""Whole numbers with bounds this many times apart are searched by ratio: 5 to 10 matters as much as 500 to 1000."""
_INSIDE = 1e-3
"""How far inside an exclusive bound a search stays, as a share of the range."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One setting that is searched.

    Attributes
    ----------
    name : str
    low, high : float
        Both included; positions in ``choices`` where there are any.
    whole : bool
        Whether values are whole numbers.
    logarithmic : bool
        Whether it is searched by ratio.
    choices : tuple
        The values of a setting that is no number on a scale.
    """

    name: str
    low: float
    high: float
    whole: bool
    logarithmic: bool = False
    choices: tuple[Value, ...] = ()

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        if self.choices:
            return {"name": self.name, "choices": list(self.choices)}
        low, high = (int(self.low), int(self.high)) if self.whole else (self.low, self.high)
        return {"name": self.name, "low": low, "high": high, "logarithmic": self.logarithmic}


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range asked for instead of a setting's own; both ends included."""

    low: float
    high: float


def space_of(
    config: type[BaseModel], fixed: Mapping[str, Any], narrowed: Mapping[str, Bounds] | None = None
) -> tuple[Dimension, ...]:
    """The settings to search, in the order the strategy declares them.

    Parameters
    ----------
    config : type of BaseModel
        The strategy's settings; bounds are those of the fields.
    fixed : mapping
        Values that are not searched.
    narrowed : mapping of str to Bounds, optional
        Ranges inside the bounds.

    Returns
    -------
    tuple of Dimension
        At least one.

    Raises
    ------
    BadInput
        An unknown setting, one without bounds, a range outside them, or nothing left to search.
    """
    narrowed = narrowed or {}
    unknown = sorted((set(fixed) | set(narrowed)) - set(config.model_fields))
    if unknown:
        raise BadInput(f"there is no setting {', '.join(unknown)}; there are {', '.join(config.model_fields)}")
    both = sorted(set(fixed) & set(narrowed))
    if both:
        raise BadInput(f"{', '.join(both)} is fixed and has a range; give one of the two")
    free = {name: field for name, field in config.model_fields.items() if name not in fixed}
    space = tuple(_dimension(name, field, narrowed.get(name)) for name, field in free.items())
    if not space:
        raise BadInput("every setting is fixed, so there is nothing to search; use backtest, or fix fewer")
    return space


def checked_fixed(config: type[BaseModel], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed values, each checked alone against its setting's type and bounds; raises `BadInput` that names it."""
    checked = {}
    for name, value in fixed.items():
        field = config.model_fields.get(name)
        if field is None:
            raise BadInput(f"there is no setting {name}; there are {', '.join(config.model_fields)}")
        kind: Any = field.annotation
        for bound in field.metadata:
            kind = Annotated[kind, bound]
        try:
            checked[name] = _plain(TypeAdapter(kind).validate_python(value))
        except ValidationError as error:
            raise BadInput(f"{name}={value}: {error.errors()[0]['msg']}") from error
    return checked


def _plain(value: Any) -> Any:
    """A value as settings are stored: of a closed choice its value."""
    return value.value if isinstance(value, Enum) else value


def _choices(kind: Any) -> tuple[Value, ...]:
    if kind is bool:
        return (False, True)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(member.value for member in kind)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _dimension(name: str, field: FieldInfo, bounds: Bounds | None) -> Dimension:
    kind = field.annotation
    choices = _choices(kind)
    if choices:
        if bounds is not None:
            raise BadInput(f"{name} has no range; its values are {', '.join(map(str, choices))}")
        return Dimension(name, 0.0, len(choices) - 1.0, whole=True, choices=choices)
    if kind not in (int, float):
        raise BadInput(f"{name} is no number and cannot be searched; fix it with --set {name}=VALUE")
    low, high = _own_bounds(name, field, kind is int)
    if bounds is not None:
        low, high = _inside(name, bounds, Bounds(low, high), kind is int)
    far = low > 0.0 and high / low >= _LOGARITHMIC_FROM
    return Dimension(name, low, high, whole=kind is int, logarithmic=kind is int and far)


def _own_bounds(name: str, field: FieldInfo, whole: bool) -> tuple[float, float]:
    low: Any = None
    high: Any = None
    for one in field.metadata:
        match one:
            case Ge(ge=value) | Gt(gt=value):
                low = float(str(value))
            case Le(le=value) | Lt(lt=value):
                high = float(str(value))
    if low is None or high is None:
        raise BadInput(f"{name} has no bounds to search between; fix it with --set {name}=VALUE")
    step = 1.0 if whole else _INSIDE * (high - low)
    low += step * any(isinstance(one, Gt) for one in field.metadata)
    high -= step * any(isinstance(one, Lt) for one in field.metadata)
    return low, high


def _inside(name: str, asked: Bounds, own: Bounds, whole: bool) -> tuple[float, float]:
    if not own.low <= asked.low < asked.high <= own.high:
        raise BadInput(
            f"range {asked.low:g}:{asked.high:g} of {name} must rise and lie within {own.low:g} to {own.high:g}"
        )
    if whole and not (float(asked.low).is_integer() and float(asked.high).is_integer()):
        raise BadInput(f"range {asked.low:g}:{asked.high:g} of {name} must have whole ends")
    return asked.low, asked.high
