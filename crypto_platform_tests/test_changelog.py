"""What the changelog says was renamed has its new name everywhere that users read."""

import re
from collections.abc import Iterator
from pathlib import Path

from crypto_platform.market.feed_spec import feeds
from crypto_platform.settings import PROJECT_ROOT

# They say both names: to stop at the old one, or to move what has it.
SPEAKS_OF_BOTH = {
    "CHANGELOG.md",
    "crypto_platform/settings.py",
    "crypto_platform/market/feed_spec.py",
    "crypto_platform/alerting/store.py",
    "crypto_platform/connectors/snowflake/migrations.py",
    "crypto_platform/dagster_instance/renamed_assets.py",
}
READ = ("*.md", ".env.example", "docs/**/*.md", "dashboards/**/*.yaml", "dbt_project/**/*.*", "crypto_platform/**/*.*")


def old_names() -> set[str]:
    """Names of the tables' first columns that are no plain words: with an underscore, a slash or a hyphen."""
    rows = re.findall(r"^ +\| (?!0\.1\.0|---)(.+?) \|", (PROJECT_ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    expanded = {name.replace("<feed>", feed).removeprefix("crypto-platform ") for name in names for feed in feeds()}
    # us_equity_daily was a schedule, and is a feed.
    return {name for name in expanded if re.search(r"[_/-]", name)} - set(feeds())


def texts() -> Iterator[tuple[str, str]]:
    paths = {path for pattern in READ for path in PROJECT_ROOT.glob(pattern) if path.is_file()}
    for path in sorted(paths):
        name = path.relative_to(PROJECT_ROOT).as_posix()
        made = {"target", "logs", "__pycache__", "images", "adr"} & set(Path(name).parts)
        if not made and name not in SPEAKS_OF_BOTH:
            yield name, path.read_text(errors="replace")


def test_no_old_name_is_left_where_users_read() -> None:
    names = old_names()
    assert {"switch-on", "missed_by_us", "prices_hold_together", "HISTORY_DAYS", "kafka/crypto_bars"} <= names
    pattern = re.compile(rf"(?<![\w/-])(?:{'|'.join(map(re.escape, sorted(names)))})(?![\w/-])", re.IGNORECASE)
    found = [f"{name}: {match[0]}" for name, text in texts() for match in pattern.finditer(text)]
    assert found == []
