import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crypto_platform.settings import PROJECT_ROOT

WORKFLOWS = sorted((PROJECT_ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (PROJECT_ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))
DOCKERFILE = (PROJECT_ROOT / "docker" / "Dockerfile").read_text()


def versions() -> list[str]:
    """The Pythons that `requires-python` lets in: `>=3.11,<3.14`."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    bounds = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"])
    assert bounds
    return [f"3.{minor}" for minor in range(int(bounds[1]), int(bounds[2]))]


def workflow(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return workflow(path)["jobs"]


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job["steps"]


def commands(path: Path) -> list[str]:
    return [line for step in steps(path) for line in step.get("run", "").splitlines()]


def targets(command: str) -> list[str]:
    """The targets of a line that calls make, its variables left out, after a look at each of both."""
    words = shlex.split(command)
    assert words[0] == "make", f"{command}: not make"
    for name in [word.partition("=")[0] for word in words[1:] if "=" in word]:
        assert f"$({name})" in MAKEFILE, f"{command}: the Makefile knows no {name}"
    found = [word for word in words[1:] if "=" not in word]
    assert found and set(found) <= TARGETS, f"{command}: not a target of the Makefile"
    return found


def test_there_are_the_two_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "weekly.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_steps_call_make_or_build_the_image_as_its_dockerfile_says(path: Path) -> None:
    for command in commands(path):
        if command.startswith("docker build "):
            assert f"#   {command}\n" in DOCKERFILE
        else:
            targets(command)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_every_job_ends(path: Path) -> None:
    assert workflow(path)["permissions"] == {"contents": "read"}
    assert workflow(path)["concurrency"]["group"]
    for name, job in jobs(path).items():
        assert "permissions" not in job, name
        assert job["timeout-minutes"] <= 120, name
        assert not job["runs-on"].endswith("-latest"), name
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("path", "job"), [("ci.yml", "test"), ("weekly.yml", "newest")])
def test_every_python_of_the_project_runs_the_demo_and_every_test(path: str, job: str) -> None:
    found = jobs(PROJECT_ROOT / ".github" / "workflows" / path)[job]
    assert found["strategy"]["matrix"]["python"] == versions()
    assert found["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert re.search(r"^(PYTHON \?=|ifndef PYTHON$)", MAKEFILE, re.MULTILINE), "PYTHON of the environment is not heard"
    called = [target for step in found["steps"] if "run" in step for target in targets(step["run"])]
    assert {"demo", "test"} <= set(called)


def test_the_checks_of_a_submission_are_those_of_ci() -> None:
    submission = set(re.findall(r"^make ([a-z-]+)", (PROJECT_ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    called = {target for line in commands(WORKFLOWS[0]) if line.startswith("make ") for target in targets(line)}
    assert submission and submission <= called


def test_the_dev_container_sets_up_with_make_on_the_newest_python() -> None:
    found = json.loads((PROJECT_ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert targets(found["postCreateCommand"]) == ["setup"]
    assert found["containerEnv"]["PYTHON"] == f"python{versions()[-1]}"
    assert f":{versions()[-1]}-" in found["image"]


def test_the_image_calls_targets_that_there_are_with_the_python_that_it_installs() -> None:
    calls = re.findall(r"^RUN (make [^&]+?) &&", DOCKERFILE, re.MULTILINE)
    assert [targets(call) for call in calls] == [["setup"], ["superset"]]
    for call in calls:
        assert re.search(r"PYTHON=(python3\.\d+) ", call)[1] + "-venv" in DOCKERFILE


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="no actionlint on the PATH")
def test_actionlint_finds_nothing() -> None:
    answer = subprocess.run(
        ["actionlint", "-no-color", *map(str, WORKFLOWS)], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
