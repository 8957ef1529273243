"""Check what the platform needs, part by part, and say what to do about what is wrong."""

import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

from crypto_platform.sandbox import jars, java, ports, supervise
from crypto_platform.sandbox.services import SERVICES
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from crypto_platform.connectors.alpaca.client import AlpacaClient

GIB = 2**30
NEEDED_MEMORY = 4 * GIB
NEEDED_DISK = 5 * GIB
CONNECT_SECONDS = 10.0


class CheckFailedError(Exception):
    """A check's finding; `remediation` says what to do."""

    def __init__(self, found: str, remediation: str) -> None:
        super().__init__(found)
        self.remediation = remediation


@dataclass(frozen=True)
class Finding:
    """What a check found; `remediation` is empty when it passed."""

    check: str
    found: str
    remediation: str = ""

    @property
    def ok(self) -> bool:
        return not self.remediation


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings, one by one as they come; a check that fails never ends the rest."""
    checks: dict[str, Callable[[Settings], str]] = {
        "python": _python,
        "packages": _packages,
        "java": _java,
        "jars": _jars,
        "dbt": _manifest,
        "memory": _memory,
        "disk": _disk,
    }
    for name, check in checks.items():
        yield _finding(name, check, settings)
    states = {status.name: status for status in supervise.status(settings)}
    for service in SERVICES.values():
        state = states[service.name]
        if state.state == "external":
            for name, check in _LOGINS[service.name].items():
                yield _finding(name, check, settings)
        elif state.state == "stopped" and service.ports:
            yield _finding(f"{service.name} port", _free_ports(service.ports), settings)
        elif state.state == "failed":
            log = supervise.log_file(settings, service.name)
            yield Finding(service.name, "failed", f"see {log}, then `crypto-platform down` and start it again")
        elif state.state != "stopped":
            yield Finding(service.name, f"{state.state}{f' at {state.address}' if state.address else ''}")


def _finding(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, check(settings))
    except CheckFailedError as trouble:
        return Finding(name, str(trouble), trouble.remediation)


def _python(settings: Settings) -> str:
    from packaging.specifiers import SpecifierSet

    version, supported = platform.python_version(), metadata.metadata("crypto-platform")["Requires-Python"]
    if version not in SpecifierSet(supported):
        raise CheckFailedError(version, f"Python {supported} is needed: `make clean setup PYTHON=…` makes .venv again")
    return version


def _packages(settings: Settings) -> str:
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for line in metadata.requires("crypto-platform") or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": "sandbox"}):
            continue
        count += 1
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
        else:
            if not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f"{requirement.name} is {version}, wanted {requirement.specifier}")
    if wrong:
        raise CheckFailedError("; ".join(wrong), "run `make setup`")
    return f"{count} as pyproject.toml asks"


def _java(settings: Settings) -> str:
    if all(SERVICES[name].external(settings) for name in supervise.NEEDS_JAVA):
        return "not needed: Kafka and Spark are external"
    try:
        return f"{java.check(settings)}, {settings.sandbox_java}"
    except java.JavaError as error:
        raise CheckFailedError("missing or wrong", str(error)) from None


def _jars(settings: Settings) -> str:
    if wrong := jars.differences(settings.jars):
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        remediation = f"run `{sys.executable} -m {jars.__name__}` (make setup does)"
        raise CheckFailedError(f"{'; '.join(wrong[:3])}{more}, in {settings.jars}", remediation)
    return f"as pinned, in {settings.jars}"


def _manifest(settings: Settings) -> str:
    from crypto_platform.transform.project import MANIFEST

    if not MANIFEST.exists():
        raise CheckFailedError("its manifest is missing", "run `make setup`")
    return "manifest prepared"


def _memory(settings: Settings) -> str:
    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} GiB of {memory.total / GIB:.1f} free"
    if supervise.running(settings) is None and memory.available < NEEDED_MEMORY:
        remediation = (
            f"the sandbox takes {NEEDED_MEMORY / GIB:.0f} GiB: end other programs, or lower SANDBOX_SPARK_MEMORY"
        )
        raise CheckFailedError(found, remediation)
    return found


def _disk(settings: Settings) -> str:
    home = settings.crypto_platform_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".doctor"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CheckFailedError(
            f"{home} is not writable: {error.strerror}", "set CRYPTO_PLATFORM_HOME to another folder"
        ) from None
    free = shutil.disk_usage(home).free
    found = f"{free / GIB:.0f} GiB free at {home}"
    if free < NEEDED_DISK:
        raise CheckFailedError(
            found, f"make room for {NEEDED_DISK / GIB:.0f} GiB, or set CRYPTO_PLATFORM_HOME elsewhere"
        )
    return found


def _free_ports(names: tuple[str, ...]) -> Callable[[Settings], str]:
    def check(settings: Settings) -> str:
        numbers = {name: getattr(settings, name) for name in names}
        for name, port in numbers.items():
            if port and not ports.is_free(port):
                remediation = f"stop that, or set {name.upper()} to another port (0: any free one)"
                raise CheckFailedError(f"{port} is taken by {ports.owner(port)}", remediation)
        return ", ".join(f"{port} is free" if port else "chosen at the start" for port in numbers.values())

    return check


def _alpaca(settings: Settings) -> str:
    """One hour of BTC/USD, which asks for no key but refuses a wrong one."""
    from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
    from crypto_platform.connectors.alpaca.errors import AlpacaError
    from crypto_platform.connectors.alpaca.request import BarsRequest
    from crypto_platform.market.bars import Timeframe

    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start, symbols = end - timedelta(hours=1), ("BTC/USD",)
    request = BarsRequest("crypto", "crypto", symbols, Timeframe.parse("1Min"), start.date(), end.date())
    hasty = settings.model_copy(update={"alpaca_max_attempts": 2, "alpaca_timeout_seconds": CONNECT_SECONDS})
    try:
        with AlpacaClient(hasty) as client:
            next(client.pages(request, symbols, start, end, Traffic(), Event()))
            plan = _plan(client) if settings.apca_api_key_id else "without a key: crypto only"
    except AlpacaError as error:
        raise CheckFailedError(str(error), "see APCA_API_DATA_URL, APCA_API_KEY_ID and APCA_API_SECRET_KEY") from None
    return f"{settings.alpaca_url} answers, {plan}"


def _plan(client: "AlpacaClient") -> str:
    """What the key's plan gives of stocks; an error where a feed streams what it does not give."""
    from crypto_platform.connectors.alpaca.entitlement import has_sip_in_real_time
    from crypto_platform.market.feed_spec import feeds

    if has_sip_in_real_time(client, "doctor"):
        return "with the keys: stocks in real time from SIP (all exchanges)"
    plan = "with the keys: stocks in real time from IEX alone, from SIP (all exchanges) 15 minutes late"
    if beyond := [name for name, spec in feeds().items() if spec.is_streamed and spec.alpaca_feed == "sip"]:
        raise CheckFailedError(
            f"{plan}; {', '.join(beyond)} would stream SIP", f"set alpaca_feed: iex in {beyond[0]}, or change the plan"
        )
    return plan


def _kafka(settings: Settings) -> str:
    from confluent_kafka import KafkaException

    from crypto_platform.connectors.kafka.admin import Admin, TopicError

    try:
        admin = Admin(settings)
    except TopicError as error:
        raise CheckFailedError(str(error), "give the brokers' authority, a PEM file") from None
    with admin:
        try:
            cluster = admin.list_topics(timeout=CONNECT_SECONDS)
        except KafkaException as error:
            raise CheckFailedError(
                admin.reason(error), "see KAFKA_BOOTSTRAP_SERVERS and the KAFKA_SASL_… settings"
            ) from None
    return f"{settings.kafka_servers} answers, {len(cluster.brokers)} brokers"


def _spark(settings: Settings) -> str:
    from pyspark.errors import PySparkException

    from crypto_platform.connectors.spark import version

    address = urlsplit(settings.spark_url)
    try:
        socket.create_connection((address.hostname or "", address.port or 15002), CONNECT_SECONDS).close()
    except OSError as error:
        raise CheckFailedError(f"{settings.spark_url}: {error}", "see SPARK_REMOTE, sc://host:port") from None
    try:
        return f"{settings.spark_url} answers, Spark {version(settings)}"
    except PySparkException as error:
        raise CheckFailedError(
            f"{settings.spark_url}: {_first_line(error)}",
            "see SPARK_REMOTE, SPARK_CONNECT_AUTHENTICATE_TOKEN and, of an authority of your own, "
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def _snowflake(settings: Settings) -> str:
    return _service(settings, "LOADER", "SNOWFLAKE")


def _snowflake_of_dbt(settings: Settings) -> str:
    prefix = "SNOWFLAKE_DBT" if settings.snowflake_dbt_user else "SNOWFLAKE"
    return _service(settings.for_dbt, "TRANSFORMER", prefix)


def _snowflake_of_dashboards(settings: Settings) -> str:
    if settings.superset_snowflake_private_key_file is None:
        return "not set up: no SUPERSET_SNOWFLAKE_PRIVATE_KEY_FILE"
    return _service(settings.for_dashboards, "READER", "SUPERSET_SNOWFLAKE")


def _service(settings: Settings, service: str, prefix: str) -> str:
    """One login on the account: that it is taken, and holds what its service needs."""
    from snowflake.connector.errors import Error

    from crypto_platform.connectors.snowflake.account_checks import lacks
    from crypto_platform.connectors.snowflake.connection import LoginError, connect
    from crypto_platform.market.feed_spec import feeds

    hasty = settings.model_copy(update={"snowflake_network_timeout": int(CONNECT_SECONDS)})
    datasets = {name: spec.datasets for name, spec in feeds().items()}
    try:
        with connect(hasty) as connection:
            found = list(lacks(connection, hasty, service, datasets))
    except LoginError as error:
        says = str(error).replace("SNOWFLAKE_PRIVATE_KEY_FILE", f"{prefix}_PRIVATE_KEY_FILE")
        raise CheckFailedError(says, f"see {prefix}_PRIVATE_KEY_FILE") from None
    except Error as error:
        remediation = f"see SNOWFLAKE_ACCOUNT, {prefix}_USER, {prefix}_ROLE, {prefix}_PRIVATE_KEY_FILE"
        raise CheckFailedError(str(error.msg or error), remediation) from None
    if found:
        problems = "; ".join(dict.fromkeys(lack.found for lack in found))
        raise CheckFailedError(problems, "\n      ".join(dict.fromkeys(lack.remediation for lack in found)))
    return f"{settings.snowflake_account} takes {settings.snowflake_user}, who holds what {service} needs"


def _superset(settings: Settings) -> str:
    from crypto_platform.connectors.superset.client import connect
    from crypto_platform.connectors.superset.home import SupersetError

    try:
        with connect(settings):
            return f"{settings.superset_url} takes the login of {settings.superset_username}"
    except SupersetError as error:
        raise CheckFailedError(str(error), "SUPERSET_URL, SUPERSET_USERNAME, SUPERSET_PASSWORD") from None


# By the service, then by what the finding is called.
_LOGINS: dict[str, dict[str, Callable[[Settings], str]]] = {
    "alpaca": {"alpaca": _alpaca},
    "kafka": {"kafka": _kafka},
    "spark": {"spark": _spark},
    "snowflake": {
        "snowflake": _snowflake,
        "snowflake for dbt": _snowflake_of_dbt,
        "snowflake for dashboards": _snowflake_of_dashboards,
    },
    # Of no system of its own: it is external where Snowflake is.
    "dbt-server": {},
    "superset": {"superset": _superset},
}
