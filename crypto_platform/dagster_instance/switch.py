"""Switch a sensor or schedule on or off, as the UI does."""

from typing import Any

from crypto_platform.dagster_instance.graphql import GraphQLError, ask
from crypto_platform.settings import CODE_LOCATION, Settings

_ALL = """
query ($repository: RepositorySelector!) {
  repositoryOrError(repositorySelector: $repository) {
    ... on Repository { sensors { name sensorState { id } } schedules { name scheduleState { id } } }
  }
}
"""
_FAILURE = "__typename ... on UnauthorizedError { message } ... on PythonError { message }"
_ON = {
    "sensor": f"mutation ($of: SensorSelector!) {{ it: startSensor(sensorSelector: $of) {{ {_FAILURE} }} }}",
    "schedule": f"mutation ($of: ScheduleSelector!) {{ it: startSchedule(scheduleSelector: $of) {{ {_FAILURE} }} }}",
}
_OFF = {
    "sensor": f"mutation ($id: String!) {{ it: stopSensor(id: $id) {{ {_FAILURE} }} }}",
    "schedule": f"mutation ($id: String!) {{ it: stopRunningSchedule(id: $id) {{ {_FAILURE} }} }}",
}


class NotSwitchedError(RuntimeError):
    """There is no such sensor or schedule, Dagster is not up, or it refused."""


def switch(settings: Settings, name: str, on: bool) -> str:
    """Switch it; a sentence that says what was done.

    Raises:
        NotSwitchedError: see there.
    """
    repository = {
        "repositoryName": "__repository__",
        "repositoryLocationName": CODE_LOCATION,
    }
    try:
        found = _find(ask(settings, _ALL, repository=repository)["repositoryOrError"])
        if name not in found:
            raise NotSwitchedError(f"there is no sensor or schedule {name!r}: choose from {', '.join(sorted(found))}")
        kind, number = found[name]
        if on:
            answer = ask(settings, _ON[kind], of={**repository, f"{kind}Name": name})["it"]
        else:
            answer = ask(settings, _OFF[kind], id=number)["it"]
    except GraphQLError as error:
        raise NotSwitchedError(str(error)) from None
    if "message" in answer:
        raise NotSwitchedError(f"{name} was not switched: {answer['message']}")
    return f"{kind} {name} is switched {'on' if on else 'off'}"


def _find(repository: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Kind and id of the state, by name."""
    kinds = (("sensor", "sensors"), ("schedule", "schedules"))
    return {one["name"]: (kind, one[f"{kind}State"]["id"]) for kind, many in kinds for one in repository.get(many, [])}
