import hashlib
import shutil
from pathlib import Path

import pytest

from crypto_platform.sandbox import jars, supervise
from crypto_platform.settings import Settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two jars, pinned as they are."""
    for name in ("kafka/broker-1.jar", "spark/connector-1.jar"):
        jar = tmp_path / "jars" / name
        jar.parent.mkdir(parents=True)
        jar.write_bytes(name.encode())
    lines = [f"{hashlib.sha256(n.encode()).hexdigest()}  {n}" for n in ("kafka/broker-1.jar", "spark/connector-1.jar")]
    pins = tmp_path / "jars.sha256"
    pins.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(jars, "PINS", pins)
    return tmp_path / "jars"


def test_pinned_jars_will_do(folder: Path) -> None:
    assert jars.differences(folder) == []


def test_every_difference_is_named(folder: Path) -> None:
    (folder / "kafka/broker-1.jar").write_bytes(b"other")
    (folder / "spark/connector-1.jar").rename(folder / "spark/connector-2.jar")
    assert jars.differences(folder) == [
        "kafka/broker-1.jar is changed",
        "spark/connector-1.jar is missing",
        "spark/connector-2.jar is unexpected",
    ]


def test_a_folder_without_jars_misses_all(folder: Path) -> None:
    shutil.rmtree(folder)
    assert len(jars.differences(folder)) == 2


@pytest.mark.slow
def test_a_missing_jar_is_named_with_the_remedy(fresh_settings: Settings, tmp_path: Path) -> None:
    jars.check(fresh_settings)
    elsewhere = fresh_settings.model_copy(update={"jvm_jars": tmp_path})
    with (
        pytest.raises(jars.JarsError, match=rf"not in {tmp_path}, such as kafka/.*\.jar: run `make setup`"),
        supervise.sandbox(elsewhere, {"kafka"}),
    ):
        pass


def test_the_jars_that_setup_fetched_are_the_pinned_ones(fresh_settings: Settings) -> None:
    assert jars.differences(fresh_settings.jars) == []


def test_a_fetch_that_fails_leaves_the_old_jars(
    folder: Path, fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_retrieve", lambda settings, ivy, cache, arriving: None)
    with pytest.raises(jars.JarsError, match=r"connector-1\.jar is missing"):
        jars.fetch(fresh_settings.model_copy(update={"jvm_jars": folder}))
    assert jars.differences(folder) == []
