"""What the embedded default consists of: each service's program, ports and readiness."""

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass

from crypto_platform.sandbox import dagster, kafka, snowflake, spark
from crypto_platform.settings import LOOPBACK, Settings

_PYTHON = [sys.executable, "-m"]
_ENDS_WITH_PARENT = [*_PYTHON, "crypto_platform.sandbox.parent_death"]


@dataclass(frozen=True)
class Service:
    """One program of the sandbox.

    `ports` are names of settings, the one it is reached at first; `external` is the address of the system that is
    used in its place, None while there is none; `ready` tells at once whether the program answers; `needs` are those
    that must answer before it starts. Programs of one `group` stop at the same time, each within `stop_seconds`.
    """

    name: str
    command: Callable[[Settings], list[str]]
    ready: Callable[[Settings], bool] = lambda settings: True
    ports: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    external: Callable[[Settings], str | None] = lambda settings: None
    scheme: str = ""
    group: str = "systems"
    stop_seconds: int = 15

    @property
    def program(self) -> str:
        """Its name in supervisord's API."""
        return f"{self.group}:{self.name}"

    def address(self, settings: Settings) -> str:
        own = f"{self.scheme}{LOOPBACK}:{getattr(settings, self.ports[0])}" if self.ports else ""
        return self.external(settings) or own


def _answers(port: str, path: str) -> Callable[[Settings], bool]:
    """Whether `GET path` is answered with 200."""

    def ready(settings: Settings) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, getattr(settings, port), timeout=1)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def alpaca_source(settings: Settings) -> list[str]:
    """What the Alpaca sandbox serves, as options of its command."""
    return ["--simulated"] if settings.sandbox_simulated else ["--recordings", str(settings.sandbox_recordings)]


def _alpaca(settings: Settings) -> list[str]:
    port = str(settings.sandbox_alpaca_port)
    return [*_ENDS_WITH_PARENT, *_PYTHON, "crypto_platform.sandbox.alpaca", "--port", port, *alpaca_source(settings)]


def _live(command: str, port: str) -> Service:
    """A program of the live path: `command` of our own, that tells at `port` that it is there."""
    name, *_ = command.split()
    return Service(
        name="loader" if name == "load" else name,
        ports=(port,),
        command=lambda settings: [*_ENDS_WITH_PARENT, *_PYTHON, "crypto_platform.cli.app", *command.split()],
        ready=_answers(port, "/live"),
        scheme="http://",
        group="live",
    )


# As it ends, the first Java of a kind keeps its classes: Spark's take 4 to 8 s, on a busy machine several times that.
_KEEPING_CLASSES_SECONDS = 60

SERVICES = {
    service.name: service
    for service in (
        Service(
            name="alpaca",
            ports=("sandbox_alpaca_port",),
            command=_alpaca,
            ready=_answers("sandbox_alpaca_port", "/"),
            external=lambda settings: settings.apca_api_data_url,
            scheme="http://",
        ),
        Service(
            name="kafka",
            ports=("sandbox_kafka_port", "sandbox_kafka_controller_port"),
            command=lambda settings: [*_PYTHON, kafka.__name__],
            ready=kafka.ready,
            stop_seconds=_KEEPING_CLASSES_SECONDS,
            external=lambda settings: settings.kafka_bootstrap_servers,
        ),
        Service(
            name="spark",
            ports=("sandbox_spark_port",),
            command=lambda settings: [*_PYTHON, spark.__name__],
            ready=spark.ready,
            stop_seconds=_KEEPING_CLASSES_SECONDS,
            external=lambda settings: settings.spark_remote,
            scheme="sc://",
        ),
        Service(
            name="snowflake",
            ports=("sandbox_snowflake_port",),
            command=lambda settings: [*_PYTHON, f"{snowflake.__name__}_server"],
            ready=snowflake.ready,
            external=lambda settings: settings.snowflake_account,
            scheme="http://",
        ),
        Service(
            name="dbt-server",
            command=lambda settings: [*_ENDS_WITH_PARENT, *_PYTHON, "crypto_platform.transform.command"],
            external=lambda settings: settings.snowflake_account,
        ),
        Service(
            name="code",
            ports=("dagster_code_port",),
            # Its runs are processes of their own, which must not outlive it either.
            command=lambda settings: [*_ENDS_WITH_PARENT, "--group", *dagster.code_server(settings)],
            ready=dagster.code_server_answers,
            group="dagster",
        ),
        Service(
            name="daemon",
            command=lambda settings: [*_ENDS_WITH_PARENT, *dagster.daemon(settings)],
            needs=("code",),
            group="dagster",
        ),
        Service(
            name="dagster",
            ports=("dagster_ui_port",),
            command=lambda settings: [*_ENDS_WITH_PARENT, *dagster.web_server(settings)],
            ready=_answers("dagster_ui_port", "/server_info"),
            needs=("code",),
            scheme="http://",
            group="dagster",
        ),
        Service(
            name="watchdog",
            command=lambda settings: [*_ENDS_WITH_PARENT, *_PYTHON, "crypto_platform.cli.app", "watchdog"],
            needs=("dagster",),
            group="watchdog",
        ),
        Service(
            name="superset",
            ports=("superset_port",),
            # gunicorn has workers, which do not end with its parent.
            command=lambda settings: [
                *_ENDS_WITH_PARENT,
                "--group",
                *_PYTHON,
                "crypto_platform.connectors.superset.server",
            ],
            ready=_answers("superset_port", "/health"),
            external=lambda settings: settings.superset_url,
            scheme="http://",
            group="superset",
        ),
        _live("stream", "stream_port"),
        _live("load --follow", "loader_port"),
    )
}
# What a run of the pipeline needs.
PIPELINE = ("alpaca", "kafka", "spark", "snowflake", *(["dbt-server"] if sys.platform == "linux" else []))
# What `crypto-platform up` starts; the dashboards need an installation of their own and are asked for.
PLATFORM = (*PIPELINE, "code", "daemon", "dagster", "watchdog")
DASHBOARDS = ("snowflake", "superset")
# What `--live` adds: the stream into Kafka, and Kafka into the ledger.
LIVE = ("stream", "loader")
