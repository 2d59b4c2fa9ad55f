"""What every part of the settings is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Part of the settings; what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
