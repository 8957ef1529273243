"""The platform's own producer and admin client on the rehearsal's brokers: as allowed, and as refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from crypto_platform.connectors.kafka.admin import TopicError, ensure_topic, topic_state
from crypto_platform.connectors.kafka.producer import Outgoing, send
from crypto_platform.sandbox.ports import free_ports
from crypto_platform.settings import Settings
from rehearsal import certificates
from rehearsal.kafka import Cluster, Logins
from rehearsal.parts import Parts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PASSWORD = "of-the-platform"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings that point the platform at three brokers, whose ACLs are its own."""
    folder = tmp_path_factory.mktemp("kafka")
    made = certificates.make(folder / "tls", "of-the-stores")
    logins = Logins("of-the-brokers", "of-the-controllers", PASSWORD, "of-the-stores")
    brokers = Cluster(Settings(), folder / "brokers", free_ports(6), made, logins)
    with Parts(folder / "logs", lambda told: None) as parts:
        parts.start(*brokers.parts())
        brokers.allow()
        yield Settings(
            kafka_bootstrap_servers=brokers.servers,
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_sasl_username=Cluster.USER,
            kafka_sasl_password=SecretStr(PASSWORD),
            kafka_ssl_ca_location=str(made.authority),
            kafka_replication_factor=3,
            kafka_request_timeout_seconds=5,
        )


def test_the_acls_are_enough_to_make_a_topic_and_to_publish(cluster: Settings) -> None:
    cluster = cluster.model_copy(update={"kafka_request_timeout_seconds": 30.0})
    assert send(cluster, "crypto", [Outgoing(b"BTC/USD", str(n).encode(), []) for n in range(100)]) == 100
    assert sum(topic_state(cluster, "crypto").end.values()) == 100
    # What is there already is looked at.
    assert ensure_topic(cluster, "crypto") == "market.crypto.bars"


def another_authority(folder: Path) -> dict[str, object]:
    return {"kafka_ssl_ca_location": str(certificates.make(folder, "secret").authority)}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda folder: {"kafka_sasl_password": SecretStr("s3cret")}, "the login is refused: see KAFKA_SASL_USERNAME"),
        (another_authority, "TLS fails: see KAFKA_SSL_CA_LOCATION"),
        (
            lambda folder: {"kafka_ssl_ca_location": str(folder / "ca.pem")},
            r"KAFKA_SSL_CA_LOCATION is .*ca\.pem, where there is no file",
        ),
    ],
)
def test_what_is_wrong_is_named_and_no_secret(
    cluster: Settings, tmp_path: Path, wrong: Callable[[Path], dict[str, object]], says: str
) -> None:
    with pytest.raises(TopicError, match=says) as error:
        topic_state(cluster.model_copy(update=wrong(tmp_path)), "crypto")
    assert "s3cret" not in str(error.value) and PASSWORD not in str(error.value)


def test_what_the_acls_forbid_says_so(cluster: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from crypto_platform.market.bars import BARS

    monkeypatch.setattr(type(BARS), "topic", lambda dataset, feed: "elsewhere.bars")
    with pytest.raises(TopicError, match=r"ACLs do not allow it to platform \(KAFKA_SASL_USERNAME\)"):
        ensure_topic(cluster, "crypto")
