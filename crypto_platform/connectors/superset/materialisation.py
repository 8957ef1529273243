"""The code into Superset, and every chart asked once."""

from dataclasses import dataclass

from crypto_platform.connectors.superset import charts, code
from crypto_platform.connectors.superset.client import connect
from crypto_platform.settings import Settings


@dataclass(frozen=True)
class Report:
    """The dashboards' addresses by title, and what each chart answered."""

    dashboards: dict[str, str]
    answers: list[charts.Answer]

    @property
    def failed(self) -> list[charts.Answer]:
        return [answer for answer in self.answers if answer.error]


def bring_in(settings: Settings) -> Report:
    """Import the code and ask every chart.

    Raises:
        SupersetError: Superset does not answer or refuses the login or the code; the message says what to do.
    """
    files = code.read()
    with connect(settings) as client:
        code.put(client, files)
        answers = list(charts.ask(client, files))
    return Report(code.addresses(files, settings), answers)
