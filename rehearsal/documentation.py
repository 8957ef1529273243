"""What docs/reference/production.md shows of the rehearsal: what a person copies to point the platform at clusters."""

from collections.abc import Iterator

from rehearsal import jars, kafka, spark
from rehearsal.environment import EXAMPLE, lines

# Of the brokers' properties, those that a cluster of several should have however it is run.
_BROKER = ("default.replication.factor", "min.insync.replicas", "auto.create.topics.enable", "authorizer.class.name")


def page() -> Iterator[str]:
    """The page's parts, Markdown."""
    yield "# Production\n"
    yield (
        "What `make rehearsal` runs the platform with, other names in place of its addresses and passwords: "
        "[how to](../how-to/production.md). Defined in `rehearsal/`.\n"
    )
    yield "## Environment\n"
    yield "\n".join(["```sh", *lines(EXAMPLE), "```\n"])
    yield "## Kafka\n"
    yield "The brokers:\n"
    yield "\n".join(
        ["```properties", *(line for line in kafka.PROPERTIES.splitlines() if line.startswith(_BROKER)), "```\n"]
    )
    yield "What the platform's user may do, and needs no more than; idempotent producers need no ACL of their own:\n"
    yield "\n".join(["```sh", *_acls(), "```\n"])
    yield "## Spark\n"
    yield (
        "The Connect server's configuration (`spark-defaults.conf`), beside the address and the login of S3, "
        "`spark.authenticate.secret` and `spark.connect.authenticate.token`:\n"
    )
    configuration = spark.CONFIGURATION | spark.S3_CONFIGURATION
    yield "\n".join(["```properties", *(f"{name} {value}" for name, value in configuration.items()), "```\n"])
    yield (
        "Its jars: those of `ivy.xml` for Kafka, and for S3 these of `rehearsal/ivy.xml`, with the SHA-256 of each in "
        f"`rehearsal/jars.sha256`. The bucket of the stage is written by `{EXAMPLE.stage.partition('/')[0]}//`, which "
        "Hadoop knows; the external stage over it has Snowflake's own scheme, `s3://`.\n"
    )
    yield "\n".join(["```text", *_jars(), "```\n"])


def _acls() -> Iterator[str]:
    server, *_ = EXAMPLE.kafka_servers.split(",")
    for kind, name, pattern, operations in kafka.ACLS:
        words = " ".join(f"--operation {_words(operation)}" for operation in operations)
        yield (
            f"kafka-acls.sh --bootstrap-server {server} --command-config admin.properties \\\n"
            f"  --add --allow-principal User:{EXAMPLE.kafka_username} --{kind} {name} "
            f"--resource-pattern-type {pattern} \\\n  {words}"
        )


def _words(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))


def _jars() -> Iterator[str]:
    for line in jars.PINS.read_text().splitlines():
        _, name = line.split()
        folder, _, file = name.partition("/")
        if folder == "s3a":
            yield file
