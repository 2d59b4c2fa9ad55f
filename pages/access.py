"""Why a control is greyed out for the person who looks; the engine enforces it, pages only say it first."""

from __future__ import annotations

from engine.domain.commands import REQUIRED_ROLE, Actor, CommandBody, Role


def missing_role(actor: Actor, needed: Role) -> str:
    """Empty where the actor may, else the reason why not.

    >>> missing_role(Actor("eva", Role.VIEWER, "console"), Role.OPERATOR)
    'eva signed in as viewer; this needs operator'
    """
    if actor.role.allows(needed):
        return ""
    return f"{actor.name} signed in as {actor.role.value}; this needs {needed.value}"


def missing_role_for(actor: Actor, body: type[CommandBody]) -> str:
    """The same for a command."""
    return missing_role(actor, REQUIRED_ROLE[body])
