"""Every setting of the platform, read once from the environment (and `.env`).

A system whose address is not set is the embedded default on loopback; setting the address is all that
production needs. `.env.example` lists the same names with a word each.
"""

import os
from functools import lru_cache
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

Port = Annotated[int, Field(ge=0, le=65535)]
JvmMemory = Annotated[str, Field(pattern=r"^\d+[mg]$")]


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

    # What this machine keeps: the lake, staged files, the sandbox's data and logs, Dagster's instance.
    crypto_platform_home: Path = PROJECT_ROOT / ".crypto_platform"
    dagster_home: Path | None = Field(None, description="Dagster's instance; unset: in the home")
    dagster_postgres_url: SecretStr | None = Field(
        None,
        description="Dagster's storage, postgresql+psycopg2://user:password@host:5432/database; unset: SQLite",
    )
    lake_url: str | None = Field(None, description="Folder or fsspec URL (s3://…, gs://…) of the lake")

    daily_schedules_enabled: bool | None = Field(
        None, description="Whether the feeds' daily runs ask for new days; unset: unless the bars are recordings"
    )

    repair_never_requested: bool = Field(
        False, description="Whether repairs ask for days between a symbol's bars that nobody ever asked for"
    )

    run_limit_minutes: float = Field(
        60.0, gt=0, description="After these, and what its bars take, a run is ended; waiting for its pool included"
    )
    run_retention_days: int = Field(90, ge=1, description="Days after which a run that no partition needs is deleted")

    # Alpaca
    apca_api_data_url: str | None = Field(None, description="Alpaca's data API; unset: the sandbox server")
    apca_api_key_id: SecretStr | None = None
    apca_api_secret_key: SecretStr | None = None
    alpaca_timeout_seconds: float = Field(30.0, gt=0)
    alpaca_max_attempts: int = Field(6, ge=1)
    alpaca_backoff_seconds: float = Field(0.5, gt=0, description="First wait before a page is asked again")
    alpaca_requests_per_minute: int = Field(
        200, ge=1, description="Your plan's limit, to say how long a backfill takes; its answers tell the client itself"
    )
    alpaca_concurrency: int = Field(4, ge=1)
    alpaca_max_pages: int = Field(100_000, ge=1, description="Pages one request may run to")

    # The stream service and the loader beside it
    apca_api_stream_url: str | None = Field(
        None, description="Alpaca's websocket, wss://stream.data.alpaca.markets; unset: the one of the data API"
    )
    stream_reconcile_interval_seconds: float = Field(
        300.0, gt=0, description="Between two looks by REST for what the stream missed"
    )
    stream_backfill_max_days: int = Field(7, ge=1, description="The longest absence that is filled by REST")
    stream_spool_mb: int = Field(512, ge=1, description="Bars kept on disk while Kafka is away")
    stream_port: Port = Field(9101, description="The stream service's metrics and health")
    loader_port: Port = Field(9102, description="The loader's metrics and health")

    # Kafka
    kafka_bootstrap_servers: str | None = None
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_location: str | None = None
    kafka_topic_partitions: int = Field(3, ge=1)
    kafka_replication_factor: int = Field(1, ge=1)
    kafka_retention_hours: int = Field(168, ge=1)
    kafka_request_timeout_seconds: float = Field(15.0, gt=0)
    kafka_delivery_timeout_seconds: float = Field(
        60.0, gt=0, description="Seconds until an unconfirmed message is given up"
    )

    # Spark
    spark_remote: str | None = Field(None, description="Spark Connect address, sc://host:port")

    # Snowflake
    snowflake_account: str | None = None
    snowflake_user: str = "CRYPTO_PLATFORM"
    snowflake_private_key_file: Path | None = None
    snowflake_private_key_file_pwd: SecretStr | None = None
    snowflake_role: str | None = None
    snowflake_warehouse: str | None = None
    snowflake_database: str = "MARKET"
    snowflake_network_timeout: int = Field(60, ge=1, description="Seconds until the connector gives up")
    # The connector takes its network timeout for a limit on statements too; those of a year's load take longer.
    snowflake_statement_timeout: int = Field(900, ge=1, description="Seconds one statement of a load may take")

    # Where Spark writes the Parquet that Snowflake copies: a local folder (PUT) or an external stage's URL.
    stage_url: str | None = None
    snowflake_external_stage: str | None = Field(
        None, description="Name of the external stage over STAGE_URL, when that is not local"
    )

    # Alerts: channels that are set are all used, side by side.
    alert_slack_webhook_url: SecretStr | None = None
    alert_smtp_host: str | None = None
    alert_smtp_port: int = Field(587, ge=1, le=65535)
    alert_smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    alert_smtp_username: str | None = None
    alert_smtp_password: SecretStr | None = None
    alert_email_from: str | None = None
    alert_email_to: str | None = Field(None, description="Addresses, separated by commas")
    alert_webhook_url: SecretStr | None = Field(None, description="Any address that takes JSON")
    alert_webhook_token: SecretStr | None = Field(None, description="Sent to it as a bearer token")
    alert_log: bool = Field(True, description="Keep every message in the home's alerts.log")
    alert_store_url: SecretStr | None = Field(None, description="SQLAlchemy URL; unset: alerts.db in the home")
    alert_timeout_seconds: float = Field(10.0, gt=0, description="Until a channel counts as down")
    alert_cooldown_seconds: float = Field(900.0, ge=0, description="Until a fingerprint that opens again is told again")
    alert_repeat_interval_hours: float = Field(24.0, gt=0, description="Until one that stays open is told again")
    alert_max_per_minute: int = Field(5, ge=1, description="Posts a minute; what is more becomes one digest")

    # Superset, the dashboards
    superset_url: str | None = Field(None, description="A Superset that runs elsewhere; unset: the one on this machine")
    superset_metadata_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the metadata's database; unset: SQLite in the home"
    )
    superset_username: str = "admin"
    superset_password: SecretStr | None = Field(None, description="Of that user; unset: generated")
    superset_secret_key: SecretStr | None = Field(None, description="Signs and encrypts; unset: generated")
    superset_snowflake_user: str = "DASHBOARD"
    superset_snowflake_role: str | None = Field(None, description="A role that may read MARTS and nothing else")
    superset_snowflake_private_key_file: Path | None = None
    superset_snowflake_private_key_file_pwd: SecretStr | None = None

    # The embedded default; port 0 lets the system choose.
    sandbox_java: Literal["bundled", "system"] = Field(
        "bundled", description="`bundled`: the wheel's Java 21; `system`: 17 or newer at JAVA_HOME or on the PATH"
    )
    java_home: Path | None = Field(None, description="Where that Java is; unset: the `java` on the PATH")
    sandbox_java_options: str = Field(
        "", description="More options of Kafka's and Spark's Java; -XX:TieredStopAtLevel=1 starts faster, sustains less"
    )
    jvm_jars: Path | None = Field(None, description="Folder of the Kafka broker's and connector's jars")
    sandbox_alpaca_port: Port = 18080
    sandbox_kafka_port: Port = 19092
    sandbox_kafka_controller_port: Port = 19093
    sandbox_spark_port: Port = 15002
    sandbox_snowflake_port: Port = 18084
    sandbox_recordings: Path = PROJECT_ROOT / "recordings"
    sandbox_simulated: bool = Field(False, description="Serve simulated bars in place of the recordings")
    sandbox_kafka_memory: JvmMemory = "512m"
    sandbox_spark_memory: JvmMemory = "2g"
    sandbox_snowflake_memory: Annotated[str, Field(pattern=r"^\d+(MB|GB)$")] = "600MB"
    sandbox_snowflake_idle_transaction_seconds: float = Field(
        5.0, gt=0, description="Seconds after which the emulator aborts a transaction that nobody goes on with"
    )
    sandbox_startup_timeout_seconds: float = Field(120.0, gt=0, description="Until every service must answer")
    dagster_ui_port: Port = 3000
    dagster_ui_url: str | None = Field(None, description="Where people open it, for links; unset: on loopback")
    dagster_server_url: str | None = Field(
        None, description="Where programs reach it, such as past a proxy with a login; unset: DAGSTER_UI_URL"
    )
    dagster_code_port: Port = 3030
    dagster_code_module: str = Field("crypto_platform.definitions", description="What the code server serves")
    dagster_code_server: str | None = Field(None, description="host:port of another one, for the watchdog")
    restart_command: str = Field(
        "crypto-platform restart", description="What alerts name to restart code, daemon or dagster, which follows it"
    )
    superset_port: Port = 8088
    superset_venv: Path = Field(PROJECT_ROOT / ".venv-superset", description="What `make dashboard` installs it into")

    freshness_interval_seconds: int = Field(20, ge=5, description="How often the feeds are looked at for being late")

    @field_validator(
        "snowflake_database",
        "snowflake_role",
        "snowflake_warehouse",
        "snowflake_external_stage",
        "superset_snowflake_role",
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
        "java_home",
        "jvm_jars",
        "sandbox_recordings",
        "superset_venv",
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Programs that run in other folders are given these."""
        return value and value.expanduser().absolute()

    @field_validator("alert_slack_webhook_url", "alert_webhook_url")
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
        if old := sorted(name for name in RENAMED if given.get(name)):
            raise ValueError("; ".join(f"{name} is now called {RENAMED[name]}: rename it" for name in old))
        return self

    @model_validator(mode="after")
    def _mail(self) -> Self:
        """Mail needs a sender and recipients; a password goes over an encrypted connection only."""
        if self.alert_smtp_host and not (self.alert_email_from and self.alert_recipients):
            raise ValueError("ALERT_SMTP_HOST needs ALERT_EMAIL_FROM and ALERT_EMAIL_TO")
        if self.alert_smtp_password and self.alert_smtp_security == "none":
            raise ValueError("ALERT_SMTP_PASSWORD needs ALERT_SMTP_SECURITY starttls or tls")
        return self

    @property
    def alert_recipients(self) -> list[str]:
        return [address.strip() for address in (self.alert_email_to or "").split(",") if address.strip()]

    @property
    def alpaca_url(self) -> str:
        return self.apca_api_data_url or f"http://127.0.0.1:{self.sandbox_alpaca_port}"

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
        return self.stage_url or str(self.crypto_platform_home / "stage")

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
    def embedded_snowflake(self) -> bool:
        return self.snowflake_account is None

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
