"""The feed component: one YAML file becomes one feed's assets, checks and job."""

from crypto_platform.orchestration.feeds.component import BarFeed

__all__ = ["BarFeed"]
