"""What the emulator lacks of Snowflake's access control: a statement is refused that the session's role may not run.

fakesnow has no roles. Here the statements that make roles, users and grants are carried out (`roles.Account`), and each
statement of a session whose role is not ACCOUNTADMIN is checked before it runs, with the texts and the numbers of
Snowflake's own refusals. What takes which privilege:
https://docs.snowflake.com/en/user-guide/security-access-control-privileges

Of Snowflake's it lacks: what SHOW and INFORMATION_SCHEMA list is not filtered by privileges, a view's text is not
checked against its owner's, secondary roles and GRANT OPTION do nothing, and only privileges of databases, schemas,
tables, views, stages, warehouses and of the account itself are known.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import duckdb
from snowflake.connector.errors import DatabaseError, ProgrammingError
from sqlglot import exp

from crypto_platform.sandbox.fakesnow_patches import without_grammar
from crypto_platform.sandbox.fakesnow_patches.roles import ACCOUNT, ACCOUNTADMIN, Account, Granted
from crypto_platform.sandbox.fakesnow_patches.statement_cache import Parser

if TYPE_CHECKING:
    from fakesnow.conn import FakeSnowflakeConnection
    from fakesnow.cursor import FakeSnowflakeCursor

_SUCCESS = "SELECT 'Statement executed successfully.' AS \"status\""
# Kinds that are in no schema: the emulator keeps their names alone.
_OF_ACCOUNT = {"ROLE", "USER", "WAREHOUSE", "STORAGE INTEGRATION", "INTEGRATION", "RESOURCE MONITOR", "NETWORK POLICY"}
_IN_SCHEMA = {"TABLE", "VIEW", "STAGE", "SEQUENCE", "FILE FORMAT"}
# What DuckDB has a catalog of.
_CATALOGUED = {"DATABASE", "SCHEMA", "TABLE", "VIEW"}
# A session of ACCOUNTADMIN, the default, is looked at for these alone.
_OF_INTEREST = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*(CREATE|DROP|ALTER|COMMENT|GRANT|REVOKE|USE|SHOW\s+(FUTURE\s+)?GRANTS)\b",
    re.IGNORECASE | re.DOTALL,
)
# DuckDB's temporary tables are in no schema.
_TEMPORARY = re.compile(r"\b(?:(?:LOCAL|GLOBAL)\s+)?TEMP(?:ORARY)?\b", re.IGNORECASE)
_OF_SESSION = re.compile(r"\bcurrent_(?:role|warehouse)\(\)", re.IGNORECASE)


@dataclass
class Session:
    """Who is logged in, and as what; `temporary` are the full names of its temporary tables and stages.

    `tables` are those of them that the emulator has as a table of the schema, to be dropped with the session.
    """

    user: str
    role: str
    warehouse: str | None
    temporary: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Need:
    """A privilege that a statement takes, any where None, on an object by its full name in upper case."""

    privilege: str | None
    kind: str
    name: str


def install(cursor: type["FakeSnowflakeCursor"], parser: Parser, account: Account) -> "AccessControl":
    """Have fakesnow's cursors check each statement by the session's role; returns what logs sessions in."""
    control = AccessControl(account)
    execute = cursor.execute

    def checked(self: "FakeSnowflakeCursor", command: str, *args: Any, **kwargs: Any) -> "FakeSnowflakeCursor":
        session = control.session(self._conn)
        command = control.told_of_session(session, command)
        if session.role == ACCOUNTADMIN and not _OF_INTEREST.match(command):
            return execute(self, command, *args, **kwargs)
        expression = parser.peek(command)
        statement = Statement(self._conn, session, account, expression, command)
        statement.check()
        if (answer := statement.carry_out()) is not None:
            return execute(self, answer, server=kwargs.get("server"))
        is_new = statement.is_new()
        executed = execute(self, statement.as_run(), *args, **kwargs)
        statement.note(is_new)
        return executed

    cursor.execute = checked  # type: ignore[method-assign]
    return control


class AccessControl:
    """The sessions, each with its user, role and warehouse."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._sessions: WeakKeyDictionary[FakeSnowflakeConnection, Session] = WeakKeyDictionary()

    def login(
        self, connection: "FakeSnowflakeConnection", user: str, role: str | None, warehouse: str | None
    ) -> Session:
        """Begin the session of a connection.

        Raises:
            DatabaseError: the role is not the user's, errno 390189.
        """
        user, role = user.upper(), role.upper() if role else None
        default_role, default_warehouse = self._account.defaults(user)
        if role and not self._account.has_role(user, role):
            raise DatabaseError(
                f"Role '{role}' specified in the connect string is not granted to this user. Contact your local "
                "system administrator, or attempt to login with another role, e.g. PUBLIC.",
                errno=390189,
                sqlstate="08001",
            )
        named = warehouse.upper() if warehouse else default_warehouse
        session = self._sessions[connection] = Session(user, role or default_role, named)
        return session

    def end(self, connection: "FakeSnowflakeConnection") -> None:
        """Drop the temporary tables of a session that ends, whose open transaction is rolled back."""
        session = self._sessions.pop(connection, None)
        for table in sorted(session.tables) if session else ():
            with suppress(duckdb.TransactionException):
                connection._duck_conn.rollback()
            connection._duck_conn.execute(f"DROP TABLE IF EXISTS {table}")
            self._account.dropped("TABLE", table)

    def session(self, connection: "FakeSnowflakeConnection") -> Session:
        if connection not in self._sessions:
            self._sessions[connection] = Session("", ACCOUNTADMIN, None)
        return self._sessions[connection]

    def told_of_session(self, session: Session, command: str) -> str:
        """The statement with its CURRENT_ROLE() and CURRENT_WAREHOUSE(), which fakesnow does not know, as literals."""
        if not _OF_SESSION.search(command):
            return command
        usable = session.warehouse and self._account.may(session.role, "USAGE", "WAREHOUSE", session.warehouse)
        said = {"role": session.role, "warehouse": session.warehouse if usable else None}
        literals = {name: f"'{value}'" if value else "NULL" for name, value in said.items()}
        return _OF_SESSION.sub(lambda found: literals[found[0].lower()[len("current_") : -2]], command)


@dataclass
class Statement:
    """One statement of a session."""

    connection: "FakeSnowflakeConnection"
    session: Session
    account: Account
    expression: exp.Expr
    text: str

    def __post_init__(self) -> None:
        self._matched = without_grammar.unparsed(self.expression, self.text)

    # Before it runs.

    def check(self) -> None:
        """Refuse what the session's role may not do.

        Raises:
            ProgrammingError: it lacks a privilege (3001), what it names is not there for it (2003), or no warehouse is
                there to run it (606).
        """
        if self.session.role == ACCOUNTADMIN:
            return
        for need in self._needs():
            self._require(need)
        if self._takes_warehouse():
            warehouse = self.session.warehouse
            if warehouse is None or not self.account.may(self.session.role, "USAGE", "WAREHOUSE", warehouse):
                raise ProgrammingError(
                    "No active warehouse selected in the current session.  Select an active warehouse with the "
                    "'use warehouse' command.",
                    errno=606,
                    sqlstate="57P03",
                )

    def _require(self, need: Need) -> None:
        role, may = self.session.role, self.account.may
        if need.kind == ACCOUNT:
            if not may(role, need.privilege, ACCOUNT, ""):
                raise _insufficient("account", "EMBEDDED")
            return
        if need.kind in _OF_ACCOUNT:
            if not may(role, need.privilege, need.kind, need.name):
                raise _insufficient(need.kind, need.name)
            return
        database, *rest = need.name.split(".")
        if not may(role, "USAGE", "DATABASE", database):
            raise _absent("Database", database)
        if rest and not may(role, "USAGE", "SCHEMA", f"{database}.{rest[0]}"):
            if need.kind == "SCHEMA" and may(role, None, "SCHEMA", need.name):
                raise _insufficient("schema", rest[0])
            raise _absent("Schema", f"{database}.{rest[0]}")
        if need.name in self.session.temporary or may(role, need.privilege, need.kind, need.name):
            return
        if need.kind in _IN_SCHEMA and not may(role, None, need.kind, need.name):
            raise _absent("Object" if need.kind in ("TABLE", "VIEW") else need.kind.title(), need.name, "42S02")
        raise _insufficient(need.kind, need.name.rpartition(".")[2])

    def _needs(self) -> Iterator[Need]:
        match self.expression:
            case exp.Query():
                yield from self._reads()
            case exp.Insert() | exp.Update() | exp.Delete():
                yield Need(self.expression.key.upper(), "TABLE", self._full(self._target()))
                yield from self._reads()
            case exp.Merge(args={"whens": whens}):
                for when in whens.expressions:
                    then = when.args["then"]
                    verb = then.key.upper() if isinstance(then, exp.Insert | exp.Update) else "DELETE"
                    yield Need(verb, "TABLE", self._full(self._target()))
                yield from self._reads()
            case exp.Copy(args={"files": files}):
                yield Need("INSERT", "TABLE", self._full(self._target()))
                yield from (Need(None, "STAGE", stage) for file in files if (stage := self._stage(file.sql())))
            case exp.Put(args={"target": target}):
                yield from (Need(None, "STAGE", stage) for stage in [self._stage(target.sql())] if stage)
            case exp.ListStage(this=this):
                yield from (Need(None, "STAGE", stage) for stage in [self._stage(this.sql())] if stage)
            case exp.TruncateTable(expressions=tables):
                yield from (Need("TRUNCATE", "TABLE", self._full(table)) for table in tables)
            case exp.Create():
                yield from self._needs_to_create()
            case exp.Drop() | exp.Alter() | exp.Comment():
                yield from (
                    Need("OWNERSHIP", kind, name)
                    for kind, name in self._changed()
                    if kind in _OF_ACCOUNT or self._is_there(kind, name)
                )
            case exp.Describe(this=exp.Query() as query):
                yield from self._of(query)
            case exp.Describe(this=exp.Table() as table):
                kind = str(self.expression.args.get("kind") or "TABLE").upper()
                if kind in _IN_SCHEMA:
                    yield Need(None, kind, self._full(table))
            case exp.Grant() | exp.Revoke():
                kind, name = self._securable()
                yield from self._needs_to_grant(kind, name)
            case exp.Command():
                yield from self._needs_of_account()

    def _reads(self) -> Iterator[Need]:
        """SELECT on every table and view that is read; those of a common table expression are its own."""
        target = self._target() if not isinstance(self.expression, exp.Query) else None
        named = {cte.alias_or_name.upper() for cte in self.expression.find_all(exp.CTE)}
        for table in self.expression.find_all(exp.Table):
            if (
                table is target
                or not isinstance(table.this, exp.Identifier)
                or table.db.upper() == "INFORMATION_SCHEMA"
            ):
                if table is not target and isinstance(table.this, exp.Var) and (stage := self._stage(table.sql())):
                    yield Need(None, "STAGE", stage)
                continue
            if table.db or table.name.upper() not in named:
                yield Need("SELECT", "TABLE", self._full(table))

    def _of(self, query: exp.Expr) -> Iterator[Need]:
        """What a query that is part of the statement needs."""
        return Statement(self.connection, self.session, self.account, query, "")._reads()

    def _needs_to_create(self) -> Iterator[Need]:
        kind, name = self._created()
        if kind == "DATABASE" or kind in _OF_ACCOUNT:
            what = "INTEGRATION" if kind.endswith("INTEGRATION") else kind
            yield Need(f"CREATE {what}", ACCOUNT, "")
            return
        parent = name.rpartition(".")[0]
        if kind == "SCHEMA":
            yield Need("CREATE SCHEMA", "DATABASE", parent)
        elif self._is_temporary():
            # https://docs.snowflake.com/en/sql-reference/sql/create-table#access-control-requirements
            yield Need("USAGE", "SCHEMA", parent)
        else:
            # Also with IF NOT EXISTS, and where it has nothing to do.
            yield Need(f"CREATE {kind}", "SCHEMA", parent)
        if self.expression.args.get("replace") and self._is_there(kind, name):
            yield Need("OWNERSHIP", kind, name)
        for source in (self.expression.args.get("expression"), self.expression.args.get("clone")):
            if source is not None:
                yield from self._of(_as_query(source))

    def _needs_to_grant(self, kind: str, name: str) -> Iterator[Need]:
        if not self.account.may(self.session.role, "MANAGE GRANTS", ACCOUNT, ""):
            yield Need("OWNERSHIP", kind, name)

    def _needs_of_account(self) -> Iterator[Need]:
        """Of a statement that sqlglot has no grammar for."""
        said = self._matched.groupdict() if self._matched else {}
        text = self.text.strip().upper()
        creates = re.match(r"CREATE (ROLE|USER|NETWORK POLICY|RESOURCE MONITOR)\b", text)
        if creates:
            yield Need(f"CREATE {creates[1]}", ACCOUNT, "")
        elif text.startswith(("ALTER RESOURCE MONITOR", "ALTER STORAGE INTEGRATION", "GRANT DATABASE ROLE")):
            # ACCOUNTADMIN's own.
            yield Need("MANAGE ACCOUNT", ACCOUNT, "")
        elif "RESOURCE_MONITOR" in text:
            yield Need("MANAGE ACCOUNT", ACCOUNT, "")
        elif role := said.get("role"):
            yield from self._needs_to_grant("ROLE", role.upper())
        elif said.get("privileges"):
            yield from self._needs_to_grant("SCHEMA", self._qualified(said["schema"]))
        for group, kind in (("user", "USER"), ("policy", "NETWORK POLICY"), ("altered_warehouse", "WAREHOUSE")):
            if said.get(group) and "RESOURCE_MONITOR" not in text:
                yield Need("OWNERSHIP", kind, said[group].upper())
        if commented := said.get("commented"):
            yield Need("OWNERSHIP", said["kind"].upper(), self._full(exp.to_table(commented)))
        for group, kind in (("altered_schema", "SCHEMA"), ("altered_stage", "STAGE")):
            if said.get(group):
                yield Need("OWNERSHIP", kind, self._qualified(said[group]))

    def _takes_warehouse(self) -> bool:
        """Whether rows are read or written; a definition alone needs none."""
        match self.expression:
            case exp.Query():
                return any(self._reads())
            case exp.Create():
                return self._created()[0] == "TABLE" and self.expression.args.get("expression") is not None
            case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge() | exp.Copy():
                return True
        return False

    # In place of fakesnow.

    def carry_out(self) -> str | None:
        """Do what concerns roles, users, grants and warehouses; the statement that answers it, None of all others.

        Raises:
            ProgrammingError: a role, a user or an object that it names is not there (2003, 3013).
        """
        match self.expression:
            case exp.Use():
                return self._use()
            case exp.Grant() | exp.Revoke():
                self._grant()
                return _SUCCESS
            case exp.Create() if self._created()[0] in _OF_ACCOUNT:
                kind, name = self._created()
                self.account.transfer(kind, name, self.session.role)
                return _SUCCESS
            case exp.Drop() if self._changed()[0][0] in _OF_ACCOUNT:
                for kind, name in self._changed():
                    self.account.dropped(kind, name)
                return _SUCCESS
            case _ if self._matched:
                return self._administer({k: v.upper() for k, v in self._matched.groupdict().items() if v})
        return None

    def _use(self) -> str | None:
        kind, name = self.expression.args.get("kind"), self.expression.this.name.upper()
        what = (kind.name if isinstance(kind, exp.Expr) else str(kind)).upper()
        if what == "ROLE":
            if not self.account.exists(name):
                raise _no_operation()
            if not self.account.has_role(self.session.user, name):
                raise ProgrammingError(
                    f"SQL access control error:\nRequested role '{name}' is not assigned to the executing user. "
                    "Specify another role to activate.",
                    errno=3013,
                    sqlstate="42501",
                )
            self.session.role = name
        elif what == "WAREHOUSE":
            if not self.account.may(self.session.role, "USAGE", "WAREHOUSE", name):
                raise _no_operation()
            self.session.warehouse = name
        elif what in ("DATABASE", "SCHEMA"):
            table = self.expression.this
            full = name if what == "DATABASE" else f"{(table.db or self.connection.database or '').upper()}.{name}"
            if not self.account.may(self.session.role, "USAGE", what, full):
                raise _no_operation()
            return None
        return _SUCCESS

    def _grant(self) -> None:
        kind, name = self._securable()
        if kind in ("DATABASE", "SCHEMA", "TABLE", "VIEW") and not self._is_there(kind, name):
            raise _absent(kind.title(), name)
        roles = [principal.this.name.upper() for principal in self.expression.args["principals"]]
        for role in roles:
            self._check_role(role)
        privileges = [privilege.this.name.upper() for privilege in self.expression.args["privileges"]]
        if isinstance(self.expression, exp.Revoke):
            self.account.revoke(roles, privileges, kind, name)
        elif privileges == ["OWNERSHIP"]:
            self.account.transfer(kind, name, roles[0])
        else:
            self.account.grant(roles, privileges, kind, [name])

    def _administer(self, said: dict[str, str]) -> str | None:
        account, role = self.account, self.session.role
        match said:
            case {"new_role": name}:
                account.create_role(name, role)
            case {"new_user": name}:
                account.create_user(name, role)
            case {"new_policy": name}:
                account.transfer("NETWORK POLICY", name, role)
            case {"privileges": privileges, "which": which, "kinds": kinds, "schema": schema, "grantee": grantee}:
                self._check_role(grantee)
                kind, full, each = kinds.removesuffix("S"), self._qualified(schema), privileges.split(", ")
                if which == "ALL":
                    account.grant([grantee], each, kind, self._in_schema(kind, full))
                else:
                    account.grant_future(grantee, each, kind, full)
            case {"role": granted, "to": to, "grantee": grantee}:
                self._check_role(granted)
                if to == "ROLE":
                    self._check_role(grantee)
                elif not account.has_user(grantee):
                    raise _absent("User", grantee)
                account.grant_role(granted, to, grantee)
            case {"user": user}:
                if not account.has_user(user):
                    raise _absent("User", user)
                if "DEFAULT_ROLE" in self.text.upper():
                    account.set_defaults(user, said.get("default_role"), said.get("default_warehouse"))
            case {"shown": shown}:
                self._check_role(shown)
                return _grants_shown(account.shown(shown, "future" in said), shown, "future" in said)
        # What has no group is fakesnow's to answer, or the account's, which the emulator keeps nothing of.
        return None if re.match(r"SHOW|EXPLAIN|START", self.text.lstrip(), re.IGNORECASE) else _SUCCESS

    def _check_role(self, role: str) -> None:
        if not self.account.exists(role):
            raise _absent("Role", role)

    def as_run(self) -> str:
        """The statement for fakesnow: a temporary table that is named with its schema is one of the schema."""
        if self._is_in_schema():
            return _TEMPORARY.sub("TRANSIENT", self.text, count=1)
        if isinstance(self.expression, exp.Comment) and isinstance(self.expression.expression, exp.RawString):
            # fakesnow puts it between quotes as it is.
            return self.text.replace("'", "''")
        return self.text

    # After it ran.

    def is_new(self) -> bool:
        """Whether the statement creates what is not there yet, or anew; asked before it runs."""
        if not isinstance(self.expression, exp.Create) or not self.expression.args.get("exists"):
            return isinstance(self.expression, exp.Create)
        kind, name = self._created()
        return not (self._is_there(kind, name) if kind in _CATALOGUED else self.account.is_known(kind, name))

    def note(self, is_new: bool) -> None:
        """Keep who made what, what was dropped and what is called otherwise."""
        match self.expression:
            case exp.Create() if is_new:
                kind, name = self._created()
                if self._is_temporary():
                    self.session.temporary.add(name)
                    if self._is_in_schema():
                        self.session.tables.add(name)
                        # Of a session that was killed it stays, and whoever has the role may drop it.
                        self.account.created(kind, name, self.session.role, is_lasting=False)
                else:
                    self.account.created(kind, name, self.session.role)
            case exp.Drop():
                for kind, name in self._changed():
                    self.session.temporary.discard(name)
                    self.session.tables.discard(name)
                    self.account.dropped(kind, name)
            case exp.Alter():
                for renamed in self.expression.find_all(exp.AlterRename):
                    ((kind, name),) = self._changed()
                    self.account.renamed(kind, name, self._full(renamed.this))

    # Names.

    def _target(self) -> exp.Table:
        return _table(self.expression.this.find(exp.Table))

    def _created(self) -> tuple[str, str]:
        kind, this = str(self.expression.args["kind"]).upper(), self.expression.this
        if kind in _OF_ACCOUNT:
            return kind, this.name.upper()
        return kind, self._full(this.find(exp.Table), kind)

    def _changed(self) -> list[tuple[str, str]]:
        kind = str(self.expression.args.get("kind") or "TABLE").upper()
        tables = self.expression.args.get("tables") or [self.expression.this]
        if kind in ("SESSION", "COLUMN"):
            return []
        return [
            (kind, table.name.upper() if kind in _OF_ACCOUNT else self._full(table, kind))
            for table in tables
            if isinstance(table, exp.Table | exp.Identifier)
        ]

    def _securable(self) -> tuple[str, str]:
        kind, securable = str(self.expression.args["kind"]).upper(), self.expression.args["securable"]
        return kind, securable.name.upper() if kind in _OF_ACCOUNT else self._full(securable, kind)

    def _is_temporary(self) -> bool:
        properties = self.expression.args.get("properties")
        return bool(properties and properties.find(exp.TemporaryProperty))

    def _is_in_schema(self) -> bool:
        """Whether it creates a temporary table with its schema's name."""
        created = isinstance(self.expression, exp.Create) and self.expression.args["kind"] == "TABLE"
        return bool(created and self._is_temporary() and self._target().db)

    def _full(self, named: exp.Expr | None, kind: str = "TABLE") -> str:
        """The full name of what is in a schema, of a schema, or of a database."""
        table = _table(named)
        database, schema = self.connection.database, self.connection.schema
        if kind == "DATABASE":
            parts: list[str | None] = [table.name]
        elif kind == "SCHEMA":
            # CREATE SCHEMA has the schema's name where a table has its schema's.
            parts = [table.db or database, table.name] if table.name else [table.catalog or database, table.db]
        else:
            parts = [table.catalog or database, table.db or schema, table.name]
        return ".".join(part or "" for part in parts).upper()

    def _qualified(self, name: str) -> str:
        """A name as it is written, with the session's database where it lacks one."""
        written = exp.to_table(name)
        kind = "SCHEMA" if not written.catalog and "STAGE" not in self.text.upper().split()[:2] else "STAGE"
        return self._full(written, kind)

    def _stage(self, place: str) -> str | None:
        """The stage of a place like @RAW.LANDING/folder; None of a user's or a table's own."""
        name = place.strip("'").removeprefix("@").partition("/")[0]
        return None if name.startswith(("~", "%")) else self._full(exp.to_table(name))

    def _is_there(self, kind: str, name: str) -> bool:
        database, *rest = name.split(".")
        if kind in ("TABLE", "VIEW"):
            asked = ("information_schema.tables WHERE upper(table_catalog) = ? AND upper(table_schema) = ? "
                     "AND upper(table_name) = ?")  # fmt: skip
        elif kind in ("DATABASE", "SCHEMA"):
            asked = "information_schema.schemata WHERE upper(catalog_name) = ?" + " AND upper(schema_name) = ?" * len(
                rest
            )
        else:
            return True
        return bool(self._ask(f"SELECT 1 FROM {asked} LIMIT 1", [database, *rest]))  # noqa: S608 - our own words

    def _in_schema(self, kind: str, schema: str) -> list[str]:
        found = self._ask(
            "SELECT table_name FROM information_schema.tables WHERE upper(table_catalog) = ? "
            "AND upper(table_schema) = ? AND (table_type = 'VIEW') = ?",
            [*schema.split("."), kind == "VIEW"],
        )
        return [f"{schema}.{name.upper()}" for (name,) in found]

    def _ask(self, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
        """Rows of DuckDB's own catalog, in a session of their own, which leaves the statement's result alone."""
        with self.connection._duck_conn.cursor() as session:
            found: list[tuple[Any, ...]] = session.execute(query, values).fetchall()
            return found


def _table(found: exp.Expr | None) -> exp.Table:
    if not isinstance(found, exp.Table):
        raise TypeError(f"{found!r} is no name of a table")
    return found


def _as_query(source: exp.Expr) -> exp.Expr:
    """What CREATE … AS or CLONE reads, as something whose every table is read."""
    return source if isinstance(source, exp.Query) else exp.select("1").from_(source.this)


def _grants_shown(grants: Iterable[Granted], role: str, future: bool) -> str:
    """The answer of SHOW GRANTS TO ROLE, or SHOW FUTURE GRANTS: https://docs.snowflake.com/en/sql-reference/sql/show-grants"""
    on, to = ("grant_on", "grant_to") if future else ("granted_on", "granted_to")
    columns = (
        f'column1 AS "privilege", column2 AS "{on}", column3 AS "name", column4 AS "{to}", column5 AS "grantee_name"'
    )
    rows = [f"('{g.privilege}', '{g.kind.replace(' ', '_')}', '{g.name}', 'ROLE', '{role}')" for g in grants]
    none = "('', '', '', '', '')"
    return f"SELECT {columns} FROM VALUES {', '.join(rows or [none])}" + ("" if rows else " WHERE FALSE")  # noqa: S608


def _absent(kind: str, name: str, sqlstate: str = "02000") -> ProgrammingError:
    return ProgrammingError(
        f"SQL compilation error:\n{kind} '{name}' does not exist or not authorized.", errno=2003, sqlstate=sqlstate
    )


def _insufficient(kind: str, name: str) -> ProgrammingError:
    return ProgrammingError(
        f"SQL access control error:\nInsufficient privileges to operate on {kind.lower()} '{name}'",
        errno=3001,
        sqlstate="42501",
    )


def _no_operation() -> ProgrammingError:
    return ProgrammingError(
        "SQL compilation error:\nObject does not exist, or operation cannot be performed.", errno=2043, sqlstate="02000"
    )
