import requests
from prometheus_client import CollectorRegistry

from crypto_platform.streaming.metrics import serving


def test_it_listens_at_the_address_that_it_is_given() -> None:
    with serving(0, CollectorRegistry(), lambda: (True, {}), "127.0.0.2") as port:
        assert requests.get(f"http://127.0.0.2:{port}/live", timeout=5).text == "ok\n"
    with serving(0, CollectorRegistry(), lambda: (False, {}), "127.0.0.2") as port:
        assert requests.get(f"http://127.0.0.2:{port}/health", timeout=5).status_code == 503
