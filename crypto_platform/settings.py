"""Every setting of the platform, read once from the environment (and `.env`).

A system whose address is not set is the embedded default on loopback; setting the address is all that
production needs. `.env.example` lists the same names with a word each.
"""

import os
import re
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PROJECT_ROOT = Path(__file__).resolve().parents[1]
ALPACA_DATA_URL = "https://data.alpaca.markets"
ALPACA_TRADING_URL = "https://api.alpaca.markets"
# Where the embedded systems and the project's own servers listen.
LOOPBACK = "127.0.0.1"
# The name of the code location, in the workspace files and in the addresses of the UI.
CODE_LOCATION = "crypto_platform"

ENV_FILE_VARIABLE = "CRYPTO_PLATFORM_ENV_FILE"

# What 0.1.0 called them.
RENAMED = {
    "ALERT_HOLD_SECONDS": "ALERT_COOLDOWN_SECONDS",
    "ALERT_REMIND_HOURS": "ALERT_REPEAT_INTERVAL_HOURS",
    "ALERT_STORM_SIZE": "ALERT_MAX_PER_MINUTE",
    "DAILY_RUNS": "DAILY_SCHEDULES_ENABLED",
    "HISTORY_DAYS": "RUN_RETENTION_DAYS",
    "SANDBOX_START_SECONDS": "SANDBOX_STARTUP_TIMEOUT_SECONDS",
    "STREAM_FILL_DAYS": "STREAM_BACKFILL_MAX_DAYS",
    "STREAM_SWEEP_SECONDS": "STREAM_RECONCILE_INTERVAL_SECONDS",
}
# What became a URL of ALERT_URLS.
MOVED_TO_ALERT_URLS = {
    "ALERT_SLACK_WEBHOOK_URL",
    *(f"ALERT_SMTP_{name}" for name in ("HOST", "PORT", "SECURITY", "USERNAME", "PASSWORD")),
    "ALERT_EMAIL_FROM",
    "ALERT_EMAIL_TO",
}

# Settings of which the first does nothing, or the wrong thing, without the second.
TOGETHER = (
    ("SNOWFLAKE_PRIVATE_KEY_FILE", "SNOWFLAKE_ACCOUNT"),
    ("SNOWFLAKE_PRIVATE_KEY_FILE_PWD", "SNOWFLAKE_PRIVATE_KEY_FILE"),
    ("SNOWFLAKE_DBT_USER", "SNOWFLAKE_DBT_PRIVATE_KEY_FILE"),
    ("SNOWFLAKE_DBT_PRIVATE_KEY_FILE", "SNOWFLAKE_DBT_USER"),
    ("SNOWFLAKE_DBT_PRIVATE_KEY_FILE_PWD", "SNOWFLAKE_DBT_PRIVATE_KEY_FILE"),
    ("SNOWFLAKE_EXTERNAL_STAGE", "STAGE_URL"),
    ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"),
    ("KAFKA_SASL_PASSWORD", "KAFKA_SASL_USERNAME"),
    ("KAFKA_SASL_PASSWORD", "KAFKA_SASL_MECHANISM"),
    ("SPARK_CONNECT_AUTHENTICATE_TOKEN", "SPARK_REMOTE"),
    ("SUPERSET_SNOWFLAKE_PRIVATE_KEY_FILE_PWD", "SUPERSET_SNOWFLAKE_PRIVATE_KEY_FILE"),
)

Port = Annotated[int, Field(ge=0, le=65535)]
Origin = Literal["market", "recorded", "simulated"]
JvmMemory = Annotated[str, Field(pattern=r"^\d+[mg]$")]


def is_loopback(host: str) -> bool:
    """Whether the host, a name or an address, is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _env_file() -> Path:
    return Path(os.environ.get(ENV_FILE_VARIABLE, PROJECT_ROOT / ".env"))


class Settings(BaseSettings):
    """All settings; a field `kafka_bootstrap_servers` is read from `KAFKA_BOOTSTRAP_SERVERS`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the project's `.env` or the file ENV_FILE_VARIABLE names."""
        return init_settings, env_settings, DotEnvSettingsSource(settings_cls, env_file=_env_file())

    crypto_platform_home: Path = Field(
        PROJECT_ROOT / ".crypto_platform",
        description="What this machine keeps: the lake, staged files, the sandbox's data and logs, Dagster's instance",
    )
    dagster_home: Path | None = Field(None, description="Dagster's instance; unset: `dagster` in the home")
    dagster_postgres_url: SecretStr | None = Field(
        None,
        description="Dagster's storage, postgresql+psycopg2://user:password@host:5432/database; unset: SQLite",
    )
    dagster_run_launcher_file: Path | None = Field(
        None,
        description="YAML file with Dagster's `run_launcher`; unset: runs are the code server's processes",
    )
    lake_url: str | None = Field(
        None, description="Folder or fsspec URL (s3://…, gs://…) of the lake; unset: `lake` in the home"
    )

    daily_schedules_enabled: bool | None = Field(
        None, description="Whether the feeds' daily schedules request new days; unset: unless the bars are recordings"
    )

    repair_never_requested: bool = Field(
        False, description="Whether gap backfills also request days between a symbol's bars that were never requested"
    )

    run_limit_minutes: float = Field(
        60.0, gt=0, description="Time limit of a run, waiting for its pool included, in addition to what its bars take"
    )
    run_retention_days: int = Field(90, ge=1, description="Days after which a run that no partition needs is deleted")

    # Alpaca
    apca_api_data_url: str | None = Field(None, description="Alpaca's data API; unset: the sandbox server")
    data_origin: Origin | None = Field(
        None, description="What the bars at `APCA_API_DATA_URL` are; unset: the market's, or the sandbox server's own"
    )
    apca_api_base_url: str | None = Field(
        None,
        description="Alpaca's trading API, for universes; https://paper-api.alpaca.markets for a paper account's keys; "
        "unset: the one beside the data API",
    )
    apca_api_key_id: SecretStr | None = Field(None, description="Alpaca's key, for stocks; crypto history needs none")
    apca_api_secret_key: SecretStr | None = Field(None, description="The secret of that key")
    alpaca_timeout_seconds: float = Field(30.0, gt=0, description="Timeout of a request")
    alpaca_max_attempts: int = Field(6, ge=1, description="Attempts at a page before the run fails")
    alpaca_backoff_seconds: float = Field(
        0.5, gt=0, description="First wait before a page is requested again; it doubles"
    )
    alpaca_requests_per_minute: int = Field(
        200,
        ge=1,
        description="Your plan's limit, for a backfill's estimate; the client obeys the limit that responses name",
    )
    alpaca_concurrency: int = Field(4, ge=1, description="Concurrent requests")
    alpaca_max_pages: int = Field(100_000, ge=1, description="Most pages of a request")

    # The stream service and the loader beside it
    apca_api_stream_url: str | None = Field(
        None, description="Alpaca's websocket, wss://stream.data.alpaca.markets; unset: the one of the data API"
    )
    stream_reconcile_interval_seconds: float = Field(
        300.0, gt=0, description="Interval of the requests by REST for bars that the stream missed"
    )
    stream_backfill_max_days: int = Field(
        7, ge=1, description="The longest absence of the stream service that it backfills by REST"
    )
    stream_spool_mb: int = Field(512, ge=1, description="Megabytes of bars kept on disk while Kafka is unavailable")
    stream_port: Port = Field(9101, description="The stream service's metrics and health")
    loader_port: Port = Field(9102, description="The loader's metrics and health")
    loader_url: str | None = Field(None, description="The loader's address; unset: LOADER_PORT on loopback")
    listen_address: str = Field(
        LOOPBACK,
        description="Address at which the stream service, the loader, Spark Connect and Superset listen; `0.0.0.0` "
        "only in a network that keeps others out: none of them but Superset has a login",
    )
    loader_interval_seconds: float | None = Field(
        None,
        ge=0,
        description="Least time from one load of a topic to the next; unset: 0 on the emulator, 300 on an account, "
        "whose warehouse is billed whenever it wakes",
    )

    # Kafka
    kafka_bootstrap_servers: str | None = Field(
        None, description="Kafka's brokers, host:port,host:port; unset: the embedded one"
    )
    kafka_security_protocol: str = Field("PLAINTEXT", description="`SASL_SSL` for a cluster with a login")
    kafka_sasl_mechanism: str | None = Field(None, description="`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`")
    kafka_sasl_username: str | None = Field(None, description="User of the login")
    kafka_sasl_password: SecretStr | None = Field(None, description="Password of the login")
    kafka_ssl_ca_location: str | None = Field(
        None, description="Certificate authority of the brokers, a PEM file; unset: the system's"
    )
    kafka_topic_partitions: int = Field(3, ge=1, description="Partitions of a topic that the platform creates")
    kafka_replication_factor: int = Field(1, ge=1, description="Replicas of a topic that the platform creates")
    kafka_retention_hours: int = Field(168, ge=1, description="Retention of a topic that the platform creates")
    kafka_request_timeout_seconds: float = Field(15.0, gt=0, description="Timeout of a request, with its retries")
    kafka_delivery_timeout_seconds: float = Field(60.0, gt=0, description="Timeout of the delivery of a message")

    # Spark
    spark_remote: str | None = Field(
        None,
        description="Spark Connect address, sc://host:port, with `/;use_ssl=true` behind TLS; unset: the embedded one",
    )
    spark_connect_authenticate_token: SecretStr | None = Field(
        None, description="Token of the Spark Connect server, which pyspark sends over TLS alone, or to `localhost`"
    )

    # Snowflake
    snowflake_account: str | None = Field(None, description="Snowflake's account identifier; unset: the emulator")
    snowflake_user: str = Field("CRYPTO_PLATFORM", description="Snowflake's user")
    snowflake_private_key_file: Path | None = Field(None, description="The user's private key, a PKCS #8 file")
    snowflake_private_key_file_pwd: SecretStr | None = Field(None, description="Passphrase of the private key")
    snowflake_role: str | None = Field(None, description="Role of the session")
    snowflake_warehouse: str | None = Field(None, description="Warehouse of the session")
    snowflake_dbt_user: str | None = Field(None, description="dbt's user; unset: SNOWFLAKE_USER, with its key")
    snowflake_dbt_private_key_file: Path | None = Field(None, description="That user's private key, a PKCS #8 file")
    snowflake_dbt_private_key_file_pwd: SecretStr | None = Field(None, description="Passphrase of that private key")
    snowflake_dbt_role: str | None = Field(None, description="Role of dbt's sessions; unset: SNOWFLAKE_ROLE")
    snowflake_dbt_warehouse: str | None = Field(
        None, description="Warehouse of dbt's sessions; unset: SNOWFLAKE_WAREHOUSE"
    )
    snowflake_database: str = Field(
        "MARKET", description="Database of the schemas RAW, STAGING, INTERMEDIATE and MARTS"
    )
    snowflake_network_timeout: int = Field(60, ge=1, description="Timeout of a request, in seconds")
    # The connector takes its network timeout for a limit on statements too; those of a year's load take longer.
    snowflake_statement_timeout: int = Field(900, ge=1, description="Timeout of a statement of a load, in seconds")

    stage_url: str | None = Field(
        None,
        description="Where Spark writes what Snowflake loads, a folder or a stage's URL; unset: `stage` in the home",
    )
    snowflake_external_stage: str | None = Field(
        None, description="Name of the external stage over STAGE_URL, when that is not local"
    )

    # Alerts: channels that are set are all used, side by side.
    alert_urls: SecretStr | None = Field(
        None, description="Apprise URLs, https://appriseit.com/services, separated by blanks or commas"
    )
    alert_webhook_url: SecretStr | None = Field(None, description="Webhook that takes JSON")
    alert_webhook_token: SecretStr | None = Field(None, description="Bearer token sent to the webhook")
    alert_runbook_url: str = Field("docs/runbooks", description="Folder or URL of the runbooks, as alerts show it")
    alert_log: bool = Field(True, description="Keep every message in the home's alerts.log")
    alert_store_url: SecretStr | None = Field(
        None, description="Database of the alerts, an SQLAlchemy URL; unset: SQLite, alerts.db in the home"
    )
    alert_timeout_seconds: float = Field(
        10.0, gt=0, description="Timeout of a post, after which a channel counts as unavailable"
    )
    alert_cooldown_seconds: float = Field(
        900.0, ge=0, description="Seconds after a notification in which the same fingerprint is not notified again"
    )
    alert_repeat_interval_hours: float = Field(
        24.0, gt=0, description="Interval of the reminders of an alert that stays open"
    )
    alert_max_per_minute: int = Field(5, ge=1, description="Notifications a minute; more become one digest")

    # Lineage to a collector; both that are set are told, without either it is off.
    openlineage_url: str | None = Field(
        None, description="Collector of OpenLineage events, http(s)://…, such as Marquez or DataHub; unset: none"
    )
    openlineage_api_key: SecretStr | None = Field(None, description="Bearer token sent to the collector")
    openlineage_file: Path | None = Field(
        None, description="File that OpenLineage events are appended to, one JSON object a line; unset: none"
    )
    openlineage_namespace: str = Field("crypto_platform", description="Namespace of the jobs in OpenLineage events")
    openlineage_timeout_seconds: float = Field(
        30.0, gt=0, description="How long a run waits at its end for events that are still on their way"
    )

    # Superset, the dashboards
    superset_url: str | None = Field(None, description="A Superset that runs elsewhere; unset: the one on this machine")
    superset_metadata_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the metadata's database; unset: SQLite in the home"
    )
    superset_username: str = Field("admin", description="Superset's user who imports the dashboards")
    superset_password: SecretStr | None = Field(None, description="Password of Superset's user; unset: generated")
    superset_secret_key: SecretStr | None = Field(
        None, description="Key by which Superset signs and encrypts; unset: generated"
    )
    superset_snowflake_user: str = Field("DASHBOARD", description="Snowflake's user of the dashboards")
    superset_snowflake_role: str | None = Field(
        None, description="Role of the dashboards' user, which may read MARTS and nothing else"
    )
    superset_snowflake_warehouse: str | None = Field(
        None, description="Warehouse of the dashboards; unset: SNOWFLAKE_WAREHOUSE"
    )
    superset_snowflake_private_key_file: Path | None = Field(
        None, description="That user's private key, a PKCS #8 file"
    )
    superset_snowflake_private_key_file_pwd: SecretStr | None = Field(
        None, description="Passphrase of that private key"
    )

    # The embedded default; port 0 lets the system choose.
    sandbox_java: Literal["bundled", "system"] = Field(
        "bundled",
        description="Kafka's and Spark's Java: `bundled`, 21; `system`, 17 or newer at JAVA_HOME or on the PATH",
    )
    java_home: Path | None = Field(None, description="Folder of the `system` Java; unset: the `java` on the PATH")
    sandbox_java_options: str = Field(
        "", description="More options of Kafka's and Spark's Java; -XX:TieredStopAtLevel=1 starts faster, sustains less"
    )
    jvm_jars: Path | None = Field(
        None, description="Folder of the jars of Kafka's broker and Spark's Kafka connector; unset: `jars` in the home"
    )
    sandbox_alpaca_port: Port = Field(18080, description="Port of the Alpaca sandbox on loopback; 0: any free one")
    sandbox_kafka_port: Port = Field(19092, description="Port of Kafka on loopback; 0: any free one")
    sandbox_kafka_controller_port: Port = Field(
        19093, description="Port of Kafka's controller on loopback; 0: any free one"
    )
    sandbox_spark_port: Port = Field(15002, description="Port of Spark Connect on loopback; 0: any free one")
    sandbox_snowflake_port: Port = Field(
        18084, description="Port of the Snowflake emulator on loopback; 0: any free one"
    )
    sandbox_recordings: Path = Field(
        PROJECT_ROOT / "recordings", description="Folder of the recordings that the Alpaca sandbox serves"
    )
    sandbox_simulated: bool = Field(False, description="Serve simulated bars in place of the recordings")
    sandbox_kafka_memory: JvmMemory = Field("512m", description="Heap of Kafka's Java")
    sandbox_spark_memory: JvmMemory = Field("1g", description="Heap of Spark's Java")
    sandbox_snowflake_memory: Annotated[str, Field(pattern=r"^\d+(MB|GB)$")] = Field(
        "600MB", description="Memory limit of the Snowflake emulator"
    )
    sandbox_snowflake_idle_transaction_seconds: float = Field(
        5.0, gt=0, description="Seconds after which the emulator aborts an idle transaction"
    )
    sandbox_snowflake_lock_timeout_seconds: float = Field(
        15.0, ge=0, description="Seconds that a statement waits in the emulator for another transaction's lock"
    )
    sandbox_startup_timeout_seconds: float = Field(
        120.0, gt=0, description="Timeout of the start of the embedded systems"
    )
    dagster_ui_port: Port = Field(3000, description="Port of Dagster's UI on loopback")
    dagster_ui_url: str | None = Field(
        None, description="Address at which people open the UI, for links; unset: on loopback"
    )
    dagster_server_url: str | None = Field(
        None,
        description="Address at which programs reach the web server, past a proxy with a login; unset: DAGSTER_UI_URL",
    )
    dagster_code_port: Port = Field(3030, description="Port of Dagster's code server on loopback")
    dagster_code_module: str = Field("crypto_platform.definitions", description="Module that the code server serves")
    dagster_code_server: str | None = Field(None, description="host:port of a code server elsewhere, for the watchdog")
    restart_command: str = Field(
        "crypto-platform restart",
        description="Command that alerts name for a restart; `code`, `daemon` or `dagster` follows it",
    )
    superset_port: Port = Field(8088, description="Port of Superset on loopback")
    superset_venv: Path = Field(
        PROJECT_ROOT / ".venv-superset", description="Environment that `make dashboard` installs Superset into"
    )

    freshness_interval_seconds: int = Field(20, ge=5, description="Interval of the freshness sensor")

    @field_validator(
        "snowflake_database",
        "snowflake_role",
        "snowflake_warehouse",
        "snowflake_dbt_role",
        "snowflake_dbt_warehouse",
        "snowflake_external_stage",
        "superset_snowflake_role",
        "superset_snowflake_warehouse",
    )
    @classmethod
    def _identifier(cls, value: str | None) -> str | None:
        """Names that end up as SQL identifiers are plain words, optionally dotted."""
        if value is not None and not all(p.replace("_", "").isalnum() and p[0].isalpha() for p in value.split(".")):
            raise ValueError(f"{value!r} is not a plain Snowflake identifier")
        return value

    @field_validator(
        "crypto_platform_home",
        "dagster_home",
        "dagster_run_launcher_file",
        "java_home",
        "jvm_jars",
        "openlineage_file",
        "sandbox_recordings",
        "superset_venv",
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Programs that run in other folders are given these."""
        return value and value.expanduser().absolute()

    @field_validator("openlineage_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not (urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname):
            raise ValueError("is no http:// or https:// address; a file is OPENLINEAGE_FILE")
        return value

    @field_validator("spark_remote")
    @classmethod
    def _without_token(cls, value: str | None) -> str | None:
        """Addresses are shown, in a table and in errors."""
        if value is not None and re.search(r"[;/]token=", value):
            raise ValueError("holds a token: take it out, and set SPARK_CONNECT_AUTHENTICATE_TOKEN to it")
        return value

    @field_validator("alert_urls")
    @classmethod
    def _urls(cls, value: SecretStr | None) -> SecretStr | None:
        """What Apprise makes of them is known when it is imported, with the first post."""
        if value is not None and not re.match(r"[\s,]*\w+://", value.get_secret_value()):
            raise ValueError("is no Apprise URL, such as slack://…: see https://appriseit.com/services")
        return value

    @field_validator("alert_webhook_url")
    @classmethod
    def _encrypted(cls, value: SecretStr | None) -> SecretStr | None:
        """The address itself is the secret: it leaves this machine encrypted only."""
        if value is not None:
            address = urlsplit(value.get_secret_value())
            local = address.hostname in ("127.0.0.1", "localhost", "::1")
            if not address.hostname or (address.scheme != "https" and not (local and address.scheme == "http")):
                raise ValueError("is no https:// address (http:// is for this machine only)")
        return value

    @model_validator(mode="after")
    def _renamed(self) -> Self:
        """A name of before would be passed over, and its value with it."""
        given = {**dotenv_values(_env_file()), **os.environ}
        says = [f"{old} is now called {new}: rename it" for old, new in RENAMED.items() if given.get(old)]
        says += [
            f"{old} is now part of a URL in ALERT_URLS: see docs/reference/alerts.md"
            for old in sorted(MOVED_TO_ALERT_URLS)
            if given.get(old)
        ]
        if says:
            raise ValueError("; ".join(says))
        return self

    @model_validator(mode="after")
    def _together(self) -> Self:
        """A half of what is set in pairs would be passed over, and data go elsewhere than a person thinks."""
        pairs = [*TOGETHER, *([("STAGE_URL", "SNOWFLAKE_EXTERNAL_STAGE")] if "://" in (self.stage_url or "") else [])]
        says = [
            f"{one} is set and {other} is not: set both or neither"
            for one, other in pairs
            if getattr(self, one.lower()) is not None and getattr(self, other.lower()) is None
        ]
        if says:
            raise ValueError("; ".join(says))
        return self

    @property
    def apprise_urls(self) -> list[str]:
        """The URLs of ALERT_URLS; commas may be part of one."""
        given = self.alert_urls.get_secret_value() if self.alert_urls else ""
        return [url.rstrip(" ,\n") for url in re.split(r"[\s,]+(?=\w+://)", given) if url]

    @property
    def alpaca_url(self) -> str:
        return self.apca_api_data_url or f"http://127.0.0.1:{self.sandbox_alpaca_port}"

    @property
    def alpaca_trading_url(self) -> str:
        if self.apca_api_base_url:
            return self.apca_api_base_url
        return ALPACA_TRADING_URL if self.alpaca_url.rstrip("/") == ALPACA_DATA_URL else self.alpaca_url

    @property
    def kafka_servers(self) -> str:
        return self.kafka_bootstrap_servers or f"127.0.0.1:{self.sandbox_kafka_port}"

    @property
    def spark_url(self) -> str:
        return self.spark_remote or f"sc://127.0.0.1:{self.sandbox_spark_port}"

    @property
    def lake(self) -> str:
        return self.lake_url or str(self.crypto_platform_home / "lake")

    @property
    def stage(self) -> str:
        return (self.stage_url or str(self.crypto_platform_home / "stage")).rstrip("/")

    @property
    def ui_url(self) -> str:
        return (self.dagster_ui_url or f"http://127.0.0.1:{self.dagster_ui_port}").rstrip("/")

    @property
    def server_url(self) -> str:
        return (self.dagster_server_url or self.ui_url).rstrip("/")

    @property
    def jars(self) -> Path:
        """Folder with `kafka` and `spark`, each with its jars, as `make setup` fetches them."""
        return self.jvm_jars or self.crypto_platform_home / "jars"

    @property
    def installed(self) -> dict[str, Any]:
        """What setup put on this machine: all that settings of a fresh home take over of these."""
        return {"jvm_jars": self.jars} | {
            name: getattr(self, name) for name in ("sandbox_java", "java_home", "sandbox_java_options", "superset_venv")
        }

    @property
    def tells_lineage(self) -> bool:
        return self.openlineage_url is not None or self.openlineage_file is not None

    @property
    def embedded_snowflake(self) -> bool:
        return self.snowflake_account is None

    @property
    def loader_address(self) -> str:
        return (self.loader_url or f"http://{LOOPBACK}:{self.loader_port}").rstrip("/")

    @property
    def loader_interval(self) -> float:
        """Least seconds from one load of a topic to the next."""
        if self.loader_interval_seconds is not None:
            return self.loader_interval_seconds
        return 0.0 if self.embedded_snowflake else 300.0

    @property
    def for_dbt(self) -> Self:
        """These settings with dbt's login as Snowflake's."""
        own: dict[str, Any] = {
            "role": self.snowflake_dbt_role or self.snowflake_role,
            "warehouse": self.snowflake_dbt_warehouse or self.snowflake_warehouse,
        }
        if self.snowflake_dbt_user:
            own |= {
                "user": self.snowflake_dbt_user,
                "private_key_file": self.snowflake_dbt_private_key_file,
                "private_key_file_pwd": self.snowflake_dbt_private_key_file_pwd,
            }
        return self._logged_in(own)

    @property
    def for_dashboards(self) -> Self:
        """These settings with the dashboards' login as Snowflake's."""
        return self._logged_in(
            {
                "user": self.superset_snowflake_user,
                "role": self.superset_snowflake_role,
                "warehouse": self.superset_snowflake_warehouse or self.snowflake_warehouse,
                "private_key_file": self.superset_snowflake_private_key_file,
                "private_key_file_pwd": self.superset_snowflake_private_key_file_pwd,
            }
        )

    def _logged_in(self, login: dict[str, Any]) -> Self:
        return self.model_copy(update={f"snowflake_{name}": value for name, value in login.items()})

    def environment(self) -> dict[str, str]:
        """The environment variables that give another process these settings and no `.env`. Secrets are among them."""
        values = {name.upper(): getattr(self, name) for name in type(self).model_fields}
        return {ENV_FILE_VARIABLE: os.devnull} | {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
            if value is not None
        }


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings.

    Raises:
        pydantic.ValidationError: a value is of the wrong type or out of range; it names the setting.
    """
    return Settings()


def use(chosen: Settings) -> None:
    """Make `chosen` the settings of this process and of those it starts."""
    for name in type(chosen).model_fields:
        os.environ.pop(name.upper(), None)
    os.environ.update(chosen.environment())
    settings.cache_clear()
