from pathlib import Path

from crypto_platform.sandbox.lease import Lease


def test_the_last_user_is_the_one_who_is_left(tmp_path: Path) -> None:
    file = tmp_path / "sandbox" / "lease"
    first, second = Lease(file), Lease(file)
    assert not first.is_last()
    first.release()
    assert second.is_last()
    second.release()


def test_a_user_who_asks_while_another_stops_the_sandbox_is_among_the_last(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "lease"), Lease(tmp_path / "lease")
    assert not first.is_last()
    first.release()
    assert second.is_last()
    late = Lease.__new__(Lease)
    late._file = (tmp_path / "lease").open("w")
    assert late.is_last()
    late.release()
    second.release()
