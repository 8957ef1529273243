"""The dashboards over what the clusters were taken through, their metadata in Postgres, which is killed under them."""

from dataclasses import dataclass

from crypto_platform.connectors.superset import charts, code, server
from crypto_platform.connectors.superset.client import connect
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from rehearsal import postgres
from rehearsal.faults import Fault, Recovery, fire
from rehearsal.parts import Parts, Tell


@dataclass(frozen=True)
class Shown:
    """How many charts answered before and after the fault, and what those said that did not."""

    answers: int
    failed: list[str]
    recovery: Recovery


def show(settings: Settings, parts: Parts, tell: Tell) -> Shown:
    """Start Superset, bring the dashboards in and ask every chart; once more after Postgres was killed.

    `settings`: of a Snowflake that runs and has the marts.

    Raises:
        SupersetError: Superset cannot be set up, or refuses a login or the code.
        PartError: Postgres does not come back.
    """
    files = code.read()
    server.prepare(settings)
    tell("Superset's metadata are set up in Postgres")
    with supervise.sandbox(settings, {"superset"}) as running:
        with connect(running) as client:
            code.put(client, files)
            before = list(charts.ask(client, files))
        tell(f"dashboards: {len(before)} charts asked")
        killed = fire(Fault("Postgres, under the dashboards", lambda: postgres.NAME), parts, tell)
        with connect(running) as client:
            after = list(charts.ask(client, files))
        tell(f"dashboards: {len(after)} charts asked once more")
    answers = [*before, *after]
    return Shown(len(answers), [f"{one.chart}: {one.error}" for one in answers if one.error], killed)
