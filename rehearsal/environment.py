"""The environment that points the platform at clusters: the rehearsal's own, and the one that the docs show."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Addresses:
    """Where the clusters are and who logs in there. `s3_endpoint`: of an S3 that is not Amazon's."""

    kafka_servers: str
    kafka_username: str
    kafka_password: str
    authority: str
    spark_remote: str
    spark_token: str
    lake: str
    stage: str
    external_stage: str
    s3_endpoint: str
    s3_region: str
    s3_key: str
    s3_secret: str
    dagster_database: str
    alerts_database: str
    superset_database: str


# What stands in the documentation for one's own.
EXAMPLE = Addresses(
    kafka_servers="kafka-1.example.com:9093,kafka-2.example.com:9093,kafka-3.example.com:9093",
    kafka_username="platform",
    kafka_password="…",  # noqa: S106
    authority="/etc/ssl/certs/company-ca.pem",
    spark_remote="sc://spark.example.com:443/;use_ssl=true",
    spark_token="…",  # noqa: S106
    lake="s3://company-market-lake/lake",
    stage="s3a://company-market-landing/loads",
    external_stage="MARKET.RAW.LANDING",
    s3_endpoint="https://s3.example.com",
    s3_region="eu-central-1",
    s3_key="…",
    s3_secret="…",  # noqa: S106
    dagster_database="postgresql+psycopg2://platform:…@postgres.example.com:5432/dagster",
    alerts_database="postgresql+psycopg2://platform:…@postgres.example.com:5432/alerts",
    superset_database="postgresql+psycopg2://platform:…@postgres.example.com:5432/superset",
)


def sections(to: Addresses) -> dict[str, dict[str, str]]:
    """The variables by what they are for, a line that says so each."""
    return {
        "Kafka: a login that the ACLs above allow. The file is also on each Spark worker, at the same path.": {
            "KAFKA_BOOTSTRAP_SERVERS": to.kafka_servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": to.kafka_username,
            "KAFKA_SASL_PASSWORD": to.kafka_password,
            "KAFKA_SSL_CA_LOCATION": to.authority,
            "KAFKA_REPLICATION_FACTOR": "3",
            # A controller that dies is replaced within some ten seconds, on a busy machine later.
            "KAFKA_REQUEST_TIMEOUT_SECONDS": "60",
        },
        "Spark Connect, behind TLS. The last where its certificate is of an authority of your own.": {
            "SPARK_REMOTE": to.spark_remote,
            "SPARK_CONNECT_AUTHENTICATE_TOKEN": to.spark_token,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": to.authority,
        },
        "The lake, and the stage that Spark writes and Snowflake reads: a bucket's URL and its external stage.": {
            "LAKE_URL": to.lake,
            "STAGE_URL": to.stage,
            "SNOWFLAKE_EXTERNAL_STAGE": to.external_stage,
        },
        "S3: the first where it is not Amazon's; a login, unless the machine has a role; how to outwait a restart.": {
            "AWS_ENDPOINT_URL_S3": to.s3_endpoint,
            "AWS_DEFAULT_REGION": to.s3_region,
            "AWS_ACCESS_KEY_ID": to.s3_key,
            "AWS_SECRET_ACCESS_KEY": to.s3_secret,
            # Unset, s3fs gives up within seconds.
            "AWS_RETRY_MODE": "standard",
            "AWS_MAX_ATTEMPTS": "10",
        },
        "Postgres, a database each.": {
            "DAGSTER_POSTGRES_URL": to.dagster_database,
            "ALERT_STORE_URL": to.alerts_database,
            "SUPERSET_METADATA_URL": to.superset_database,
        },
    }


def environment(to: Addresses) -> dict[str, str]:
    """All of it, as a process is given it."""
    return {name: value for found in sections(to).values() for name, value in found.items()}


def write(to: Addresses, file: Path) -> None:
    """As a file of `NAME=value` lines, for its owner alone, that a shell or `CRYPTO_PLATFORM_ENV_FILE` reads."""
    file.touch(mode=0o600)
    file.write_text("\n".join(lines(to)) + "\n")


def lines(to: Addresses) -> list[str]:
    """The sections as lines of a `.env` file."""
    found: list[str] = []
    for title, values in sections(to).items():
        found += [f"# {title}", *(f"{name}={value}" for name, value in values.items())]
    return found
