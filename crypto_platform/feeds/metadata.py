"""A step's figures as the Dagster UI shows them best."""

from collections.abc import Mapping

import dagster as dg


def table(rows: Mapping[str, str | float], name: str, value: str) -> dg.TableMetadataValue:
    """`rows` in their order, under the columns `name` and `value`."""
    kind = next(({int: "int", float: "float"}.get(type(v), "string") for v in rows.values()), "string")
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: key, value: found}) for key, found in rows.items()],
        schema=dg.TableSchema([dg.TableColumn(name), dg.TableColumn(value, kind)]),
    )
