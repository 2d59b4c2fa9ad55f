"""What a person is told of a command that the engine failed over."""

from __future__ import annotations

from engine.domain.commands import CommandStatus


def unknown_outcome(error: Exception) -> tuple[CommandStatus, str]:
    """The answer where the engine failed with the command in hand and no record tells how far it came."""
    return (
        CommandStatus.UNKNOWN,
        f"the engine failed while carrying it out ({type(error).__name__}: {error}) and starts again; whether it was "
        "done is not known: look at the working orders and positions before you send it again",
    )
