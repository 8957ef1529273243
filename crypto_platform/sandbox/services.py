"""What the embedded default consists of: each service's program, ports and readiness."""

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass

from crypto_platform.sandbox import kafka, snowflake, spark
from crypto_platform.sandbox.ports import LOOPBACK
from crypto_platform.settings import Settings


@dataclass(frozen=True)
class Service:
    """One program of the sandbox.

    `ports` are names of settings, the one it is reached at first; `external` is the address of the system used
    instead of the embedded one, None while there is none; `ready` tells whether the program answers, at once.
    """

    name: str
    ports: tuple[str, ...]
    command: Callable[[Settings], list[str]]
    ready: Callable[[Settings], bool]
    external: Callable[[Settings], str | None]
    scheme: str = ""

    def address(self, settings: Settings) -> str:
        return self.external(settings) or f"{self.scheme}{LOOPBACK}:{getattr(settings, self.ports[0])}"


def _module(name: str) -> Callable[[Settings], list[str]]:
    return lambda settings: [sys.executable, "-m", f"crypto_platform.sandbox.{name}"]


def _answers(port: str) -> Callable[[Settings], bool]:
    def ready(settings: Settings) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, getattr(settings, port), timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def _alpaca(settings: Settings) -> list[str]:
    return [
        *(sys.executable, "-m", "crypto_platform.sandbox.leash"),
        *(sys.executable, "-m", "crypto_platform.sandbox.alpaca"),
        *("--port", str(settings.sandbox_alpaca_port)),
        *("--recordings", str(settings.sandbox_recordings)),
    ]


SERVICES = {
    service.name: service
    for service in (
        Service(
            "alpaca",
            ("sandbox_alpaca_port",),
            _alpaca,
            _answers("sandbox_alpaca_port"),
            lambda settings: settings.apca_api_data_url,
            "http://",
        ),
        Service(
            "kafka",
            ("sandbox_kafka_port", "sandbox_kafka_controller_port"),
            _module("kafka"),
            kafka.ready,
            lambda settings: settings.kafka_bootstrap_servers,
        ),
        Service(
            "spark",
            ("sandbox_spark_port",),
            _module("spark"),
            spark.ready,
            lambda settings: settings.spark_remote,
            "sc://",
        ),
        Service(
            "snowflake",
            ("sandbox_snowflake_port",),
            _module("snowflake"),
            snowflake.ready,
            lambda settings: settings.snowflake_account,
            "http://",
        ),
    )
}
# What a run of the pipeline needs.
PIPELINE = ("alpaca", "kafka", "spark", "snowflake")
