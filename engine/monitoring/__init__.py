"""Notices what is wrong and tells people: probes, the health monitor, alerts and the channels they go through."""

from __future__ import annotations

from engine.monitoring.channels import CHANNELS
from engine.monitoring.probes import PROBES

__all__ = ["CHANNELS", "PROBES"]
