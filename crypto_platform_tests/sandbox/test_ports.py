import os
import socket

from crypto_platform.sandbox import ports


def test_free_ports_are_different_and_free() -> None:
    found = ports.free_ports(5)
    assert len(set(found)) == 5
    assert all(ports.is_free(port) for port in found)


def test_a_taken_port_has_an_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.owner(port).startswith(f"process {os.getpid()} (")
