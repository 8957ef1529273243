"""A step's figures as the Dagster UI shows them best."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from crypto_platform.ingestion.topic_load import LoadReport

# Symbols that a day's metadata names: of a universe of thousands it would be most of the event log.
NAMED = 100
_TYPES = {bool: "bool", int: "int", float: "float"}


def table(rows: Mapping[str, str | float], name: str, value: str) -> dg.TableMetadataValue:
    """`rows` in their order, under the columns `name` and `value`."""
    return records([{name: key, value: found} for key, found in rows.items()])


def records(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows of the same columns; a column's type is that of its first value. Times are shown in UTC."""
    shown = [{name: _shown(value) for name, value in row.items()} for row in rows]
    columns = [dg.TableColumn(name, _TYPES.get(type(value), "string")) for name, value in (shown or [{}])[0].items()]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in shown], dg.TableSchema(columns))


def by_symbol(what: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """Counts a symbol, `<what>_by_symbol`; of more than `NAMED` how many have some and how many have none."""
    if len(counts) <= NAMED:
        return {f"{what}_by_symbol": dict(counts)}
    some = sum(count > 0 for count in counts.values())
    return {f"symbols_with_{what}": some, f"symbols_without_{what}": len(counts) - some}


def of_load(report: "LoadReport") -> dict[str, Any]:
    """What a load did, its hops as a table."""
    found = report.metadata()
    hops = table(found.pop("duration_by_step"), "hop", "seconds")
    return {**found, "seconds": round(sum(report.seconds.values()), 3), "duration_by_step": hops}


def _shown(value: Any) -> str | float | bool | None:
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
