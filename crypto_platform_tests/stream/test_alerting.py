"""Troubles of the live path become alerts when they last, and recover when they are gone."""

from pathlib import Path

from crypto_platform.alerts.book import Book
from crypto_platform.settings import Settings
from crypto_platform.stream.alerting import Teller, Trouble


def test_a_trouble_that_lasts_is_an_alert_until_it_is_over(fresh_settings: Settings, tmp_path: Path) -> None:
    teller, book = Teller(fresh_settings, "stream"), Book(fresh_settings)
    passing = Trouble("crypto", "stream silence", "nothing comes", feed="crypto", patience=3600)
    lasting = Trouble("kafka", "stream lag", "bars wait for Kafka", patience=0)
    teller.observe([passing, lasting])
    (episode,) = book.open()
    assert (episode.alert.fingerprint, episode.alert.what) == ("stream:kafka", "bars wait for Kafka")
    since = episode.alert.since
    teller.observe([passing, lasting])
    assert [e.alert.since for e in book.open()] == [since]
    teller.observe([passing])
    assert book.open() == []
