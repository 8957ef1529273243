"""What the platform has on a Snowflake account: names and figures, checked before a statement is made of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from crypto_platform.settings import Settings

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# A bucket's name and a path in it, as Snowflake's stages write them: https://docs.snowflake.com/en/sql-reference/sql/create-stage
STORAGE_URL = re.compile(r"(s3|gcs)://[A-Za-z0-9][A-Za-z0-9._-]+(/[A-Za-z0-9._=-]+)*/?")
AWS_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
PUBLIC_KEY = re.compile(r"[A-Za-z0-9+/]+={0,2}")

# What dbt builds into, by the configuration of its project.
DBT_SCHEMAS = ("STAGING", "INTERMEDIATE", "MARTS", "SNAPSHOTS", "TEST_FAILURES")


class SetupError(ValueError):
    """What is asked of the set-up cannot be, or Snowflake refuses a statement of it; says what and why."""


@dataclass(frozen=True)
class Service:
    """A role, and the user and the warehouse that are its own; time-outs in seconds."""

    role: str
    user: str
    warehouse: str
    purpose: str
    statement_timeout: int
    queued_timeout: int
    lock_timeout: int


@dataclass(frozen=True)
class Storage:
    """The place in S3 or Google Cloud Storage that loads go through; in S3, the role that Snowflake takes on."""

    url: str
    aws_role: str | None = None

    def __post_init__(self) -> None:
        if not STORAGE_URL.fullmatch(self.url):
            raise SetupError(f"{self.url!r} is no URL of a bucket: write s3://bucket/path or gcs://bucket/path")
        if self.is_s3 and self.aws_role is None:
            raise SetupError("a URL in S3 needs the role that Snowflake takes on there: arn:aws:iam::…:role/…")
        if self.aws_role is not None and not (self.is_s3 and AWS_ROLE.fullmatch(self.aws_role)):
            raise SetupError(f"{self.aws_role!r} is no role of S3, arn:aws:iam::123456789012:role/name")

    @property
    def is_s3(self) -> bool:
        return self.url.startswith("s3:")


def patience(request_timeout: int) -> int:
    """Seconds to wait for a lock or a place in the queue: fewer than the client waits for a reply.

    Then it is Snowflake that says what is wrong, and nothing is left behind that waits on.
    """
    return max(1, request_timeout // 2)


@dataclass(frozen=True)
class Account:
    """One installation of the platform on an account.

    `prefix` begins the names of what is the account's and not the database's. `credit_quota` is the credits of a month
    for all three warehouses; `retention_days` how long Time Travel reaches back in the ledger; `costs` whether the
    transformer sees what the account costs; `public_keys` are the users', PEM without its first and last line.
    `statement_timeout` and `request_timeout` are the client's, in seconds.

    Raises:
        SetupError: a value is not what its name says.
    """

    database: str = Settings.model_fields["snowflake_database"].default
    prefix: str = ""
    credit_quota: int = 50
    retention_days: int = 7
    allowed_ranges: tuple[str, ...] = ()
    storage: Storage | None = None
    costs: bool = False
    public_keys: Mapping[str, str] = field(default_factory=dict)
    statement_timeout: int = Settings.model_fields["snowflake_statement_timeout"].default
    request_timeout: int = Settings.model_fields["snowflake_network_timeout"].default

    def __post_init__(self) -> None:
        for name in (self.database, f"{self.prefix}X"):
            if not IDENTIFIER.fullmatch(name):
                raise SetupError(f"{name!r} is no plain Snowflake name: letters, digits and _, a letter first")
        if self.credit_quota < 1:
            raise SetupError("the credit quota is one credit a month at the least")
        if not 0 <= self.retention_days <= 90:
            raise SetupError("Time Travel reaches back 0 to 90 days (Standard Edition: 1)")
        for addresses in self.allowed_ranges:
            try:
                IPv4Network(addresses)
            except ValueError as error:
                raise SetupError(f"{addresses!r} is no range of addresses, such as 203.0.113.0/24: {error}") from None
        for user, key in self.public_keys.items():
            if not PUBLIC_KEY.fullmatch(key):
                raise SetupError(f"the key of {user} is no public key in PEM")

    def named(self, name: str) -> str:
        """The name of something that is the account's."""
        return f"{self.prefix}{name}"

    @property
    def services(self) -> tuple[Service, Service, Service]:
        """Loader, transformer and reader."""
        waits = patience(self.request_timeout)
        return (
            self._service("LOADER", "LOADING", "loads RAW", self.statement_timeout, waits, waits),
            self._service("TRANSFORMER", "TRANSFORMING", "builds dbt's models", 3_600, 600, 300),
            self._service("READER", "REPORTING", "reads MARTS", 120, 60, waits),
        )

    def _service(self, role: str, warehouse: str, purpose: str, *seconds: int) -> Service:
        user = self.named(f"SVC_{role}")
        return Service(self.named(role), user, self.named(warehouse), purpose, *seconds)

    @property
    def stage(self) -> str | None:
        """The external stage, where loads go through one."""
        return f"{self.database}.RAW.LANDING" if self.storage else None
