"""What a run is about: its feed, and the command that runs it again."""

import re
from collections.abc import Collection

import dagster as dg

from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.data_source import again
from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.asset_keys import STAGES, stage_key
from crypto_platform.settings import Settings

# A command that an error names: in backticks, else up to the end of the sentence or the line.
_IN_BACKTICKS = re.compile(r"`(crypto-platform [^`]+)`")
_BARE = re.compile(r"""(crypto-platform(?:[ ](?:"[^"\n]*"|'[^'\n]*'|[^\s"'`]*[^\s"'`.,;:)]))+)""")


def feed_of(assets: Collection[dg.AssetKey], job: str = "") -> str:
    """The feed that a job or assets are of; empty when they are of none or of several."""
    if job in feeds():
        return job
    names = {name for key in assets for name in feeds() if key in _of_feed(name)}
    return names.pop() if len(names) == 1 else ""


def _of_feed(feed: str) -> set[dg.AssetKey]:
    """The feed's stages and its staging model; later models join the feeds."""
    return {*(stage_key(feed, stage) for stage in STAGES), dg.AssetKey(["staging", f"stg_{feed}__bars"])}


def rerun(feed: str, days: Days | None) -> str:
    """The command that takes a feed's days through every stage again."""
    return again(feed, days.start, days.end) if feed and days else ""


def restart(settings: Settings, name: str) -> str:
    """The command that restarts a part of Dagster: code, daemon or dagster, the web server."""
    return f"{settings.restart_command} {name}"


def command_in(text: str) -> str:
    """The command of ours that an error names, if it names one."""
    found = _IN_BACKTICKS.search(text) or _BARE.search(text)
    return found[1] if found else ""


def first_line(text: str, longest: int = 300) -> str:
    """The first line that says something, cut where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
