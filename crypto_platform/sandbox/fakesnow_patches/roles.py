"""The account's roles and users: who was granted what, who owns what, and what each may do for it.

https://docs.snowflake.com/en/user-guide/security-access-control-overview. What nobody is known to have made belongs to
SYSADMIN, and ACCOUNTADMIN may do everything, as everybody did in the emulator of 0.1.0 and does who names no role.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

ACCOUNTADMIN, SYSADMIN, SECURITYADMIN, USERADMIN, PUBLIC = SYSTEM_ROLES = (
    "ACCOUNTADMIN",
    "SYSADMIN",
    "SECURITYADMIN",
    "USERADMIN",
    "PUBLIC",
)
ACCOUNT = "ACCOUNT"
# https://docs.snowflake.com/en/user-guide/security-access-control-overview#system-defined-roles
_INHERITED = {ACCOUNTADMIN: {SYSADMIN, SECURITYADMIN}, SECURITYADMIN: {USERADMIN}}
_ACCOUNT_PRIVILEGES = {
    SYSADMIN: {"CREATE DATABASE", "CREATE WAREHOUSE"},
    SECURITYADMIN: {"MANAGE GRANTS", "CREATE NETWORK POLICY"},
    USERADMIN: {"CREATE ROLE", "CREATE USER"},
}
# A table and a view of one schema cannot have one name.
_KIND_OF_NAME = {"VIEW": "TABLE"}


@dataclass(frozen=True, order=True)
class Granted:
    """A privilege of a role on an object; `kind` is TABLE, VIEW, SCHEMA, …, `name` the full name in upper case."""

    role: str
    privilege: str
    kind: str
    name: str


class Account:
    """What was granted and made, kept in `file`, where one is given, over restarts of the emulator."""

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._lock = file, RLock()
        kept: dict[str, Any] = json.loads(file.read_text()) if file and file.exists() else {}
        # The roles that each role was granted, and so inherits.
        self._roles: dict[str, set[str]] = {role: set(granted) for role, granted in kept.get("roles", {}).items()}
        for role in SYSTEM_ROLES:
            self._roles.setdefault(role, set(_INHERITED.get(role, ())))
        self._users: dict[str, dict[str, Any]] = kept.get("users", {})
        self._grants = {Granted(*grant) for grant in kept.get("grants", [])}
        # Of these the name is the schema's.
        self._future = {Granted(*grant) for grant in kept.get("future", [])}
        self._owners = {(kind, name): owner for kind, name, owner in kept.get("owners", [])}

    def _keep(self) -> None:
        if self._file:
            kept = {
                "roles": {role: sorted(granted) for role, granted in self._roles.items()},
                "users": self._users,
                "grants": [[g.role, g.privilege, g.kind, g.name] for g in sorted(self._grants)],
                "future": [[g.role, g.privilege, g.kind, g.name] for g in sorted(self._future)],
                "owners": [[kind, name, owner] for (kind, name), owner in sorted(self._owners.items())],
            }
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(kept))
            new.replace(self._file)

    # What a role may do.

    def exists(self, role: str) -> bool:
        return role in self._roles

    def active(self, role: str) -> set[str]:
        """The role, PUBLIC and all that it inherits."""
        found, left = set[str](), [role, PUBLIC]
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += self._roles.get(one, ())
        return found

    def owner(self, kind: str, name: str) -> str:
        return self._owners.get((_KIND_OF_NAME.get(kind, kind), name), SYSADMIN)

    def is_known(self, kind: str, name: str) -> bool:
        """Whether somebody but ACCOUNTADMIN made it, or something was granted on it."""
        return (kind, name) in self._owners or any((g.kind, g.name) == (kind, name) for g in self._grants)

    def owns(self, role: str, kind: str, name: str) -> bool:
        return self.owner(kind, name) in self.active(role)

    def may(self, role: str, privilege: str | None, kind: str, name: str) -> bool:
        """Whether the role holds the privilege, or any where none is named, on the object."""
        if role == ACCOUNTADMIN:
            return True
        with self._lock:
            roles = self.active(role)
            if kind == ACCOUNT:
                return any(privilege in _ACCOUNT_PRIVILEGES.get(one, ()) for one in roles)
            same = {kind, "TABLE", "VIEW"} if kind in ("TABLE", "VIEW") else {kind}
            return self.owns(role, kind, name) or any(
                grant.name == name
                and grant.kind in same
                and grant.role in roles
                and privilege in (None, grant.privilege)
                for grant in self._grants
            )

    # Roles and users.

    def create_role(self, role: str, owner: str) -> None:
        with self._lock:
            if role not in self._roles:
                self._roles[role] = set()
                self._owners["ROLE", role] = owner
                self._keep()

    def grant_role(self, role: str, to: str, grantee: str) -> None:
        with self._lock:
            if to == "ROLE":
                self._roles[grantee].add(role)
            elif role not in (held := self._users[grantee]["roles"]):
                held.append(role)
            self._keep()

    def create_user(self, user: str, owner: str) -> None:
        with self._lock:
            if user not in self._users:
                self._users[user] = {"roles": [], "role": None, "warehouse": None}
                self._owners["USER", user] = owner
                self._keep()

    def has_user(self, user: str) -> bool:
        return user in self._users

    def set_defaults(self, user: str, role: str | None, warehouse: str | None) -> None:
        with self._lock:
            self._users[user].update(role=role, warehouse=warehouse)
            self._keep()

    def has_role(self, user: str, role: str) -> bool:
        """Whether the user may take the role on; who was not created here, as the emulator's own user, may take any."""
        if user not in self._users:
            return role in self._roles
        return any(role in self.active(held) for held in (*self._users[user]["roles"], PUBLIC))

    def defaults(self, user: str) -> tuple[str, str | None]:
        """The role and the warehouse of a session that names none."""
        if user not in self._users:
            return ACCOUNTADMIN, None
        return self._users[user]["role"] or PUBLIC, self._users[user]["warehouse"]

    # Grants and owners.

    def grant(self, roles: Iterable[str], privileges: Iterable[str], kind: str, names: Iterable[str]) -> None:
        with self._lock:
            self._grants |= {Granted(r, p, kind, n) for r in roles for p in privileges for n in names}
            self._keep()

    def revoke(self, roles: Iterable[str], privileges: Iterable[str], kind: str, name: str) -> None:
        with self._lock:
            self._grants -= {Granted(role, privilege, kind, name) for role in roles for privilege in privileges}
            self._keep()

    def grant_future(self, role: str, privileges: Iterable[str], kind: str, schema: str) -> None:
        with self._lock:
            self._future |= {Granted(role, privilege, kind, schema) for privilege in privileges}
            self._keep()

    def transfer(self, kind: str, name: str, owner: str) -> None:
        with self._lock:
            self._owners[_KIND_OF_NAME.get(kind, kind), name] = owner
            self._keep()

    def created(self, kind: str, name: str, owner: str, is_lasting: bool = True) -> None:
        """Note who made an object: what was granted on one of that name before is gone.

        What was granted on objects to come is granted on it, if it is to last longer than its session.
        """
        with self._lock:
            before = (len(self._grants), dict(self._owners))
            self._forget(kind, name)
            if owner != ACCOUNTADMIN:
                self._owners[_KIND_OF_NAME.get(kind, kind), name] = owner
            schema = name.rpartition(".")[0]
            granted = {
                Granted(g.role, g.privilege, kind, name)
                for g in self._future
                if is_lasting and (g.kind, g.name) == (kind, schema)
            }
            self._grants |= granted
            if granted or before != (len(self._grants), self._owners):
                self._keep()

    def dropped(self, kind: str, name: str) -> None:
        with self._lock:
            if self._forget(kind, name):
                self._keep()

    def renamed(self, kind: str, name: str, to: str) -> None:
        """What was granted on an object, and its owner, go with it."""
        with self._lock:
            moved = {grant for grant in self._grants if grant.name == name}
            self._grants = (self._grants - moved) | {Granted(g.role, g.privilege, g.kind, to) for g in moved}
            key = _KIND_OF_NAME.get(kind, kind)
            if owner := self._owners.pop((key, name), None):
                self._owners[key, to] = owner
            self._keep()

    def _forget(self, kind: str, name: str) -> bool:
        """Drop what is known of an object, and of what is in it."""
        inside = f"{name}."
        kinds = {"TABLE", "VIEW"} if kind in ("TABLE", "VIEW") else {kind}
        contains = kind in ("DATABASE", "SCHEMA")
        gone = {
            grant
            for grant in self._grants
            if (grant.name == name and grant.kind in kinds) or (contains and grant.name.startswith(inside))
        }
        lost = [
            key
            for key in self._owners
            if key == (_KIND_OF_NAME.get(kind, kind), name) or (contains and key[1].startswith(inside))
        ]
        self._grants -= gone
        for key in lost:
            del self._owners[key]
        if contains:
            future = {grant for grant in self._future if grant.name == name or grant.name.startswith(inside)}
            self._future -= future
            return bool(gone or lost or future)
        return bool(gone or lost)

    # What SHOW GRANTS tells.

    def shown(self, role: str, future: bool) -> Iterator[Granted]:
        """What a role holds itself; of what is to come the name is as Snowflake shows it, MARKET.RAW.<TABLE>."""
        if future:
            for grant in sorted(self._future):
                if grant.role == role:
                    yield Granted(role, grant.privilege, grant.kind, f"{grant.name}.<{grant.kind}>")
            return
        yield from (grant for grant in sorted(self._grants) if grant.role == role)
        yield from (Granted(role, "OWNERSHIP", *key) for key, owner in sorted(self._owners.items()) if owner == role)
        yield from (Granted(role, "USAGE", "ROLE", granted) for granted in sorted(self._roles.get(role, ())))
