"""How many examples a test tries: fewer where the profile says that each takes several times as long."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

USUAL = 100
"""What hypothesis tries where nobody says another number."""


def tried(examples: int) -> settings:
    """Settings for so many examples, or the profile's share of them."""
    share = settings().max_examples / USUAL
    return settings(
        deadline=None, max_examples=max(2, round(examples * share)), suppress_health_check=list(HealthCheck)
    )
