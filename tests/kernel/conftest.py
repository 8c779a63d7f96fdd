"""How many examples are tried where each takes several times as long."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "sanitized", deadline=None, max_examples=10, suppress_health_check=list(HealthCheck), database=None
)
