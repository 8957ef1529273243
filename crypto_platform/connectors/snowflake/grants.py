"""Who may do what: each privilege written once, granted by the set-up and asked for by the doctor.

https://docs.snowflake.com/en/user-guide/security-access-control-privileges
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from crypto_platform.connectors.snowflake.account import DBT_SCHEMAS
from crypto_platform.connectors.snowflake.offsets_table import SUFFIX
from crypto_platform.connectors.snowflake.schema import REQUESTED_PARTITIONS, SCHEMA

# A privilege, the kind of what it is on, and that one's full name. What a schema is still to have is named as
# Snowflake shows it: MARKET.RAW.<TABLE>.
Privilege = tuple[str, str, str]


@dataclass(frozen=True)
class Grant:
    """Privileges on an object.

    With `of_schema` on every object of the kind in the schema `name`, those to come included; `known` are the names of
    those that are surely there.
    """

    privileges: tuple[str, ...]
    kind: str
    name: str
    of_schema: bool = False
    known: tuple[str, ...] = ()

    def statements(self, role: str) -> tuple[str, ...]:
        """What grants them to `role`."""
        if not self.of_schema:
            return (self._statement(f"{self.kind} {self.name}", role),)
        return self._of_all(role), self._of_future(role)

    def missing(self, held: set[Privilege], sees_future: bool, role: str) -> Iterator[str]:
        """What grants `role` those that are not among the `held`; its owner needs none."""
        if not self.of_schema:
            if lacking := self._lacking(held, (self.name,)):
                yield from lacking.statements(role)
            return
        if lacking := self._lacking(held, self.known):
            yield lacking._of_all(role)
        owns = ("OWNERSHIP", "SCHEMA", self.name) in held
        if sees_future and not owns and (lacking := self._lacking(held, (f"{self.name}.<{self.kind}>",))):
            yield lacking._of_future(role)

    def _lacking(self, held: set[Privilege], names: Iterable[str]) -> "Grant | None":
        unowned = [name for name in names if ("OWNERSHIP", self.kind, name) not in held]
        lacking = tuple(p for p in self.privileges if any((p, self.kind, name) not in held for name in unowned))
        return replace(self, privileges=lacking) if lacking else None

    def _of_all(self, role: str) -> str:
        return self._statement(f"ALL {self.kind}S IN SCHEMA {self.name}", role)

    def _of_future(self, role: str) -> str:
        return self._statement(f"FUTURE {self.kind}S IN SCHEMA {self.name}", role)

    def _statement(self, what: str, role: str) -> str:
        return f"GRANT {', '.join(self.privileges)} ON {what} TO ROLE {role}"


@dataclass(frozen=True)
class Place:
    """Where a role works: names as Snowflake shows them, `tables` those of RAW, in full, as far as they are known."""

    database: str
    warehouse: str
    stage: str | None = None
    tables: tuple[str, ...] = ()


def loader(place: Place) -> tuple[Grant, ...]:
    """Adds to RAW and can change nothing there but how far it is; reads what its checks compare with the ledger.

    Scratch tables and stages of loads are temporary, which takes no privilege but USAGE of their schema.
    """
    raw = f"{place.database}.{SCHEMA}"
    staged = (Grant(("USAGE",), "STAGE", place.stage),) if place.stage else ()
    return (
        *_on(place),
        Grant(("USAGE",), "SCHEMA", raw),
        Grant(("SELECT", "INSERT"), "TABLE", raw, of_schema=True, known=place.tables),
        *(Grant(("UPDATE",), "TABLE", table) for table in place.tables if table.endswith(SUFFIX)),
        Grant(("UPDATE",), "TABLE", f"{place.database}.{REQUESTED_PARTITIONS}"),
        *staged,
        *(grant for schema in ("STAGING", "MARTS") for grant in _read(place, schema)),
    )


def transformer(place: Place) -> tuple[Grant, ...]:
    """Reads RAW, and owns what it makes in dbt's schemas."""
    raw = f"{place.database}.{SCHEMA}"
    return (
        *_on(place),
        Grant(("USAGE",), "SCHEMA", raw),
        Grant(("SELECT",), "TABLE", raw, of_schema=True, known=place.tables),
        *(
            Grant(("USAGE", "CREATE TABLE", "CREATE VIEW"), "SCHEMA", f"{place.database}.{schema}")
            for schema in DBT_SCHEMAS
        ),
    )


def reader(place: Place) -> tuple[Grant, ...]:
    """Reads MARTS and nothing else."""
    return *_on(place), *_read(place, "MARTS")


# By the roles' names without a prefix.
NEEDED: Mapping[str, Callable[[Place], tuple[Grant, ...]]] = {
    "LOADER": loader,
    "TRANSFORMER": transformer,
    "READER": reader,
}


def held(rows: Iterable[Mapping[str, object]]) -> set[Privilege]:
    """The privileges in rows of SHOW GRANTS TO ROLE and SHOW FUTURE GRANTS TO ROLE, by their columns' names.

    https://docs.snowflake.com/en/sql-reference/sql/show-grants
    """
    return {
        (
            str(row["privilege"]),
            str(row.get("granted_on") or row.get("grant_on")).replace("_", " "),
            _plain(row["name"]),
        )
        for row in rows
    }


def missing(needed: Iterable[Grant], held: set[Privilege], sees_future: bool, role: str) -> list[str]:
    """The GRANT statements for what `role` needs and does not hold."""
    return [statement for grant in needed for statement in grant.missing(held, sees_future, role)]


def _on(place: Place) -> tuple[Grant, ...]:
    return Grant(("USAGE",), "DATABASE", place.database), Grant(("USAGE",), "WAREHOUSE", place.warehouse)


def _read(place: Place, schema: str) -> tuple[Grant, ...]:
    name = f"{place.database}.{schema}"
    kinds = (Grant(("SELECT",), kind, name, of_schema=True) for kind in ("TABLE", "VIEW"))
    return Grant(("USAGE",), "SCHEMA", name), *kinds


def _plain(name: object) -> str:
    return str(name).replace('"', "")
