"""Which columns of which tables a query's columns are made of, through its common table expressions, by sqlglot.

The column itself, not what filters, joins or orders: as OpenLineage's `DIRECT` is meant.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

# Database, schema, table and column in upper case, as Snowflake has names that are not quoted.
Origin = tuple[str, str, str, str]
# Types by column, table, schema and database.
Schema = dict[str, Any]


def schema(manifest: Mapping[str, Any]) -> Schema:
    """The columns of dbt's models, which say what a `select *` is of. Sources' are not all described."""
    found: Schema = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model" and node["columns"]:
            tables = found.setdefault(node["database"].upper(), {}).setdefault(node["schema"].upper(), {})
            tables[node["alias"].upper()] = {column.upper(): "VARCHAR" for column in node["columns"]}
    return found


def origins(statement: str, known: Schema) -> dict[str, set[Origin]]:
    """The origins of each column of the query, by its name in upper case; of constants and counts of rows none.

    Raises:
        sqlglot.errors.SqlglotError: it is no query that sqlglot understands.
    """
    query = qualify(
        parse_one(statement, dialect="snowflake"),
        dialect="snowflake",
        schema=known,
        validate_qualify_columns=False,
        quote_identifiers=False,
    )
    scope = build_scope(query)
    if scope is None:
        return {}
    seen: dict[tuple[int, str], set[Origin]] = {}
    return {name: _of(scope, name, seen) for name in _names(scope)}


def _names(scope: Scope) -> list[str]:
    query = scope.expression
    return [name.upper() for name in query.named_selects] if isinstance(query, exp.Query) else []


def _of(scope: Scope, column: str, seen: dict[tuple[int, str], set[Origin]]) -> set[Origin]:
    key = (id(scope), column)
    if key not in seen:
        # A recursive query asks for its own column again.
        seen[key] = set()
        seen[key] = set(_origins(scope, column, seen))
    return seen[key]


def _origins(scope: Scope, column: str, seen: dict[tuple[int, str], set[Origin]]) -> Iterator[Origin]:
    names, query = _names(scope), scope.expression
    if scope.set_operation_scopes and column in names:
        for part in scope.set_operation_scopes:
            yield from _of(part, _names(part)[names.index(column)], seen)
    if not isinstance(query, exp.Select):
        return
    # Of tables whose columns are not known, sqlglot leaves open whose a column is, and what `*` is.
    selected = [found for _, found in scope.selected_sources.values()]
    only = selected[0] if len(selected) == 1 else None
    if column not in names:
        if "*" in names:
            yield from _named(only, column, seen)
        return
    # A subquery in the column has sources of its own.
    sources = {name: found for sub in scope.subquery_scopes for name, found in sub.sources.items()} | scope.sources
    for used in query.selects[names.index(column)].find_all(exp.Column):
        yield from _named(sources.get(used.table) if used.table else only, used.name.upper(), seen)


def _named(source: object, column: str, seen: dict[tuple[int, str], set[Origin]]) -> Iterator[Origin]:
    if isinstance(source, Scope):
        yield from _of(source, column, seen)
    elif isinstance(source, exp.Table):
        yield source.catalog.upper(), source.db.upper(), source.name.upper(), column
