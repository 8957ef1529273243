"""The manifests of docker/: valid by the schemas, closed, and of settings and programs that there are."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import kubernetes_validate
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from kubernetes import client, config

from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.dagster_instance.orphaned_runs import HOST_TAG, tags_of_this_host
from crypto_platform.monitoring.watchdog import HEARTBEAT
from crypto_platform.settings import PROJECT_ROOT, Settings

DOCKER = PROJECT_ROOT / "docker"
BASE = DOCKER / "kubernetes" / "base"
FILES = sorted(path for path in DOCKER.glob("kubernetes/*/*.yaml") if path.name != "kustomization.yaml")
RESOURCES: list[dict[str, Any]] = [found for path in FILES for found in yaml.safe_load_all(path.read_text())]
# What Kubernetes and Dagster are told by, beside the settings.
OTHER_VARIABLES = {"DAGSTER_CURRENT_IMAGE", "DAGSTER_HOME", "DAGSTER_RUN_JOB_NAME", "POD_NAMESPACE"}
kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl, which has kustomize, on the PATH")


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in RESOURCES if found["kind"] in kinds}


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    return workload["spec"]["template"]["spec"]


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(workload)["containers"]
    return only


WORKLOADS = of_kind("Deployment", "StatefulSet")
SETTINGS: dict[str, str] = of_kind("ConfigMap")["crypto-platform"]["data"]


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make check` does with the manifests in a folder."""
    return subprocess.run(
        ["make", "--no-print-directory", "--old-file=setup", "manifests", f"MANIFESTS={folder}"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(DOCKER, tmp_path / "docker")


def broken(file: Path, right: str, wrong: str) -> None:
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))


@pytest.mark.slow
def test_the_check_finds_what_is_wrong_in_each_manifest(copied: Path) -> None:
    base = copied / "kubernetes" / "base"
    broken(base / "dagster.yaml", "replicas: 2", "replicas: two")
    broken(base / "code.yaml", "readinessProbe", "readynessProbe")
    broken(copied / "kubernetes" / "superset" / "superset.yaml", "drop: [ALL]", "drop: ALL")
    answer = check(copied)
    assert answer.returncode != 0
    said = answer.stdout + answer.stderr
    assert "deployment/dagster" in said and "spec.replicas: 'two' is not of type 'integer'" in said
    assert "'readynessProbe' was unexpected" in said
    assert "deployment/superset" in said and "'ALL' is not of type 'array'" in said


def test_the_check_finds_what_is_wrong_in_the_compose_file(copied: Path) -> None:
    broken(copied / "compose.yaml", "restart: unless", "restarts: unless")
    answer = check(copied)
    assert answer.returncode != 0
    assert "'restarts' was unexpected" in answer.stdout + answer.stderr


@pytest.mark.slow
def test_the_check_is_content_with_all_of_them() -> None:
    answer = check(DOCKER)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert all(str(path.relative_to(DOCKER)) in answer.stdout for path in FILES)


def test_the_programs_are_those_of_compose() -> None:
    programs = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert set(WORKLOADS) == set(programs) - {"postgres"}
    for name, workload in WORKLOADS.items():
        words = " ".join(container(workload).get("args") or container(workload)["command"][2:])
        assert words.replace("0.0.0.0", "127.0.0.1").split() == programs[name]["command"].split()  # noqa: S104


def is_closed(spec: dict[str, Any]) -> None:
    """Assert that a pod runs as nobody in particular, on a root that it cannot write, within limits."""
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (only,) = spec["containers"]
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(only["resources"]["limits"]) == set(only["resources"]["requests"]) == {"cpu", "memory"}
    mounted = {mount["name"] for mount in only["volumeMounts"]}
    given = {volume["name"] for volume in spec["volumes"]}
    assert mounted - {"home"} == given - {"home"} and "home" in mounted
    for variable in only.get("env", []):
        name = variable["name"]
        assert name.lower() in Settings.model_fields or name in OTHER_VARIABLES, f"{name} is no setting"
        if "SecretStr" in str(getattr(Settings.model_fields.get(name.lower()), "annotation", "")):
            assert list(variable["valueFrom"]) == ["secretKeyRef"], name


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_is_closed_and_asked_whether_it_answers(name: str) -> None:
    workload = WORKLOADS[name]
    is_closed(pod(workload))
    only = container(workload)
    assert {"startupProbe", "livenessProbe"} <= set(only)
    assert ("readinessProbe" in only) == ("ports" in only)
    needs_token = pod(workload)["serviceAccountName"] == "run-launcher"
    assert pod(workload)["automountServiceAccountToken"] is needs_token
    assert needs_token == (name in ("dagster", "daemon"))
    # A program of which there is one is never there twice.
    single = workload["kind"] == "StatefulSet" or workload["spec"].get("strategy") == {"type": "Recreate"}
    assert single == (workload["spec"]["replicas"] == 1)


def test_the_settings_are_settings_and_none_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert set(SETTINGS) <= {name.upper() for name in Settings.model_fields} - secrets
    # Its login's other half is a secret's.
    for name, value in {**SETTINGS, "KAFKA_SASL_PASSWORD": "of the cluster"}.items():
        monkeypatch.setenv(name, value)
    made = Settings(_env_file=None)
    assert made.snowflake_private_key_file and made.listen_address == SETTINGS["LISTEN_ADDRESS"]
    keys = {path.name for path in (made.snowflake_private_key_file, made.snowflake_dbt_private_key_file) if path}
    (volume,) = [found for found in pod(WORKLOADS["code"])["volumes"] if found["name"] == "snowflake-keys"]
    assert keys == {item["path"] for item in volume["secret"]["items"]}


def test_the_programs_find_one_another() -> None:
    services = of_kind("Service")
    addresses = [SETTINGS[name] for name in ("SPARK_REMOTE", "LOADER_URL", "DAGSTER_SERVER_URL")]
    (workspace,) = yaml.safe_load((DOCKER / "workspace.yaml").read_text())["load_from"]
    server = workspace["grpc_server"]
    addresses += [f"tcp://{SETTINGS['DAGSTER_CODE_SERVER']}", f"tcp://{server['host']}:{server['port']}"]
    for address in addresses:
        found = urlsplit(address)
        (port,) = services[str(found.hostname)]["spec"]["ports"]
        assert port["port"] == found.port
    for name, service in services.items():
        (port,), (listens,) = service["spec"]["ports"], container(WORKLOADS[name])["ports"]
        assert (port["port"], port["targetPort"]) == (listens["containerPort"], listens["name"])
        assert service["spec"]["selector"] == WORKLOADS[name]["spec"]["template"]["metadata"]["labels"]
    defaults = Settings.model_fields
    assert services["loader"]["spec"]["ports"][0]["port"] == defaults["loader_port"].default
    assert services["stream"]["spec"]["ports"][0]["port"] == defaults["stream_port"].default
    assert services["spark"]["spec"]["ports"][0]["port"] == defaults["sandbox_spark_port"].default
    assert services["superset"]["spec"]["ports"][0]["port"] == defaults["superset_port"].default
    assert HEARTBEAT in str(container(WORKLOADS["watchdog"])["livenessProbe"])


def test_a_drain_waits_for_as_many_runs_as_there_ever_are() -> None:
    instance = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    budgets = of_kind("PodDisruptionBudget")
    assert budgets["runs"]["spec"]["minAvailable"] == instance["concurrency"]["runs"]["max_concurrent_runs"]
    assert budgets["dagster"]["spec"]["minAvailable"] < WORKLOADS["dagster"]["spec"]["replicas"]


class Jobs:
    """Kubernetes's API, as far as the launcher asks it to make a job."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def create_namespaced_job(self, body: Any, namespace: str, **_: Any) -> None:
        self.made.append((namespace, client.ApiClient().sanitize_for_serialization(body)))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    jobs = Jobs()
    monkeypatch.setattr(config, "load_incluster_config", lambda: None)
    monkeypatch.setattr(client, "BatchV1Api", lambda **_: jobs)
    monkeypatch.setenv("POD_NAMESPACE", "markets")
    return jobs


@pytest.fixture
def instance(fresh_settings: Settings, jobs: Jobs, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    file = tmp_path / "run_launcher.yaml"
    file.write_text(of_kind("ConfigMap")["run-launcher"]["data"][file.name])
    home = dagster_home(fresh_settings.model_copy(update={"dagster_run_launcher_file": file}))
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


@dg.job
def made_job() -> None:
    pass


def test_a_run_is_a_job_like_the_other_pods(instance: dg.DagsterInstance, jobs: Jobs) -> None:
    pointer = ModuleCodePointer("crypto_platform.definitions", "defs", None)
    origin = JobPythonOrigin("made_job", RepositoryPythonOrigin("python", pointer, container_image="images/platform:7"))
    # One that repeats a command line's run, whose process was in this pod.
    run = instance.create_run_for_job(made_job, job_code_origin=origin, tags=tags_of_this_host())
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    ((namespace, job),) = jobs.made
    assert namespace == "markets"
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    spec = job["spec"]["template"]["spec"]
    is_closed(spec)
    assert spec["automountServiceAccountToken"] is False
    (only,) = spec["containers"]
    assert only["image"] == "images/platform:7"
    assert only["args"][:5] == ["python", "-m", "dagster", "api", "execute_run"]
    assert only["envFrom"] == [{"configMapRef": {"name": "crypto-platform"}}]
    labels = job["spec"]["template"]["metadata"]["labels"]
    for selector in (
        of_kind("PodDisruptionBudget")["runs"]["spec"]["selector"],
        of_kind("NetworkPolicy")["crypto-platform"]["spec"]["podSelector"],
    ):
        assert selector["matchLabels"].items() <= labels.items()
    tags = instance.get_run_by_id(run.run_id).tags  # type: ignore[union-attr]
    assert int(tags["dagster/max_runtime"]) >= 3600
    assert tags[HOST_TAG] != tags_of_this_host()[HOST_TAG]


@kubectl
def test_the_example_is_an_overlay_that_names_the_image_once() -> None:
    answer = subprocess.run(
        ["kubectl", "kustomize", str(DOCKER / "kubernetes" / "example")], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    rendered = list(yaml.safe_load_all(answer.stdout))
    for found in rendered:
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
        assert found["kind"] == "Namespace" or found["metadata"]["namespace"] == "crypto-platform"
    by_name = {(found["kind"], found["metadata"]["name"]): found for found in rendered}
    assert set(WORKLOADS) == {name for kind, name in by_name if kind in ("Deployment", "StatefulSet")}
    image = "registry.example.com/crypto-platform"
    for (kind, name), found in by_name.items():
        if kind in ("Deployment", "StatefulSet"):
            assert container(found)["image"] == (f"{image}-superset:0.2.0" if name == "superset" else f"{image}:0.2.0")
    code = container(by_name["Deployment", "code"])
    (copy,) = [found for found in code["env"] if found["name"] == "DAGSTER_CURRENT_IMAGE"]
    assert copy["value"] == code["image"]
    settings = by_name["ConfigMap", "crypto-platform"]["data"]
    assert {name for name in SETTINGS if SETTINGS[name] != settings[name]} == {
        name for name in SETTINGS if "example" in SETTINGS[name]
    }
