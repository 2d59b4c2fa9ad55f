"""Settings of sign-in, sessions and lockout."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field


class AccessConfig(BaseModel):
    """How long a session lives and how many wrong passwords are borne; bounds keep every choice defensible."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle_minutes: int = Field(30, ge=1, le=240, description="Sign out after so many minutes without a person acting")
    absolute_hours: int = Field(12, ge=1, le=24, description="Sign out after so many hours in any case")
    step_up_minutes: int = Field(5, ge=1, le=15, description="How long the password counts as proven again")
    owner_code_hours: int = Field(24, ge=1, le=72, description="How long the code of the first start is good for")
    failures_per_person: int = Field(
        5, ge=3, le=10, description="Wrong passwords of one person from one address before the first delay"
    )
    failures_per_address: int = Field(20, ge=5, le=100, description="Wrong passwords from one address in 15 minutes")
    failures_everywhere: int = Field(100, ge=20, le=1000, description="Wrong passwords from everywhere in 15 minutes")
    first_delay_s: int = Field(60, ge=30, le=300, description="First delay; each wrong password doubles it")
    longest_delay_s: int = Field(900, ge=300, le=3600, description="Longest delay in seconds; every delay ends")

    @property
    def idle(self) -> timedelta:
        """Idle time as a duration."""
        return timedelta(minutes=self.idle_minutes)

    @property
    def absolute(self) -> timedelta:
        """Absolute life as a duration."""
        return timedelta(hours=self.absolute_hours)

    @property
    def step_up(self) -> timedelta:
        """Life of a step-up as a duration."""
        return timedelta(minutes=self.step_up_minutes)
