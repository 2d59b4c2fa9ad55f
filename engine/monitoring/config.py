"""Settings of the health monitor and of alert delivery."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field


class HealthLimits(Protocol):
    """The thresholds a person sets; `HealthConfig` and the settings file's section both have them."""

    @property
    def cpu_percent(self) -> float:
        """Processor use."""

    @property
    def memory_percent(self) -> float:
        """Memory use."""

    @property
    def disk_percent(self) -> float:
        """Disk use."""

    @property
    def exchange_latency_s(self) -> float:
        """Answer time of a venue."""

    @property
    def error_rate_percent(self) -> float:
        """Failed venue calls."""

    @property
    def sample_every_s(self) -> float:
        """Time between samples."""


class HealthConfig(BaseModel):
    """Thresholds past which a figure is marked and an alert is raised; 0 is no threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

    cpu_percent: float = Field(85.0, gt=0, le=100, description="Processor use, percent")
    memory_percent: float = Field(90.0, gt=0, le=100, description="Memory use, percent")
    disk_percent: float = Field(95.0, gt=0, le=100, description="Disk use, percent: critical")
    disk_warning_percent: float = Field(85.0, gt=0, le=100, description="Disk use, percent: warning")
    exchange_latency_s: float = Field(5.0, gt=0, le=300, description="Answer time of a venue, seconds")
    error_rate_percent: float = Field(5.0, gt=0, le=100, description="Failed calls, percent")
    process_memory_mb: float = Field(2048.0, ge=0, le=2**20, description="Memory of this process, MB")
    loop_latency_s: float = Field(0.25, ge=0, le=60, description="Engine loop, 99th percentile of a step, seconds")
    queue_length: float = Field(5000.0, ge=0, le=10**7, description="Events waiting for the engine loop")
    snapshot_age_s: float = Field(15.0, ge=0, le=3600, description="Age of the newest snapshot, seconds")
    sample_every_s: float = Field(5.0, ge=1, le=300, description="Time between samples, seconds")
    breach_samples: int = Field(3, ge=1, le=100, description="Samples in a row past a threshold until an alert")
    settle_s: float = Field(60.0, ge=0, le=3600, description="Time after a start before load is judged, seconds")
    settle_steps: int = Field(100, ge=1, le=4000, description="Steps of the engine loop below which p99 is not judged")
    recover_share: float = Field(0.95, gt=0, le=1, description="Share of the threshold below which it is over")
    error_window_s: float = Field(300.0, ge=10, le=86_400, description="Window of the error rate, seconds")
    error_min_calls: int = Field(20, ge=1, le=10_000, description="Calls in the window below which no rate is given")


class AlertConfig(BaseModel):
    """How alerts are delivered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remind_after_minutes: int = Field(60, ge=1, le=10_080, description="Minutes until a lasting alert is told again")
    first_retry_s: float = Field(30.0, gt=0, le=3600, description="Wait after a first failed delivery, seconds")
    longest_retry_s: float = Field(3600.0, gt=0, le=86_400, description="Longest wait of a message, seconds")
    longest_pause_s: float = Field(300.0, gt=0, le=86_400, description="Longest pause of a failing channel, seconds")
    attempts: int = Field(24, ge=1, le=1000, description="Attempts until a message is given up (about 18 hours)")
    failures_to_alert: int = Field(3, ge=1, le=100, description="Failures in a row until a channel is an alert")
    messages_per_call: int = Field(20, ge=1, le=1000, description="Messages sent in one turn")
    test_every_hours: int = Field(24, ge=0, le=720, description="A silent channel is tested after, hours; 0 is never")
    timeout_s: float = Field(10.0, gt=0, le=120, description="Longest time a channel may take, seconds")
    allow_loopback: bool = Field(False, description="Let webhooks and mail servers be on this computer (for tests)")
