"""Events of lineage: as OpenLineage specifies them, complete, and never a run's concern."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import orjson
import pytest

from crypto_platform.cli.runs import Run
from crypto_platform.connectors.openlineage import delivery
from crypto_platform.orchestration.lineage import dataset_name, executor
from crypto_platform.orchestration.partitions import daily_of_all
from crypto_platform.settings import Settings, use
from crypto_platform_tests.orchestration.openlineage_schema import check

Events = list[dict[str, Any]]
# What is Alpaca's, and a `select *` of a table that the manifest does not know the columns of.
UNTRACED = ("lake/crypto/1Min", "stg_universe_members")
# OpenLineage's reader of dbt has no events of them.
SEEDS = {"PLATFORM.STAGING.exchange_days"}


def read(path: Path) -> Events:
    events = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    for event in events:
        check(event)
    return events


def outlined(events: Events) -> list[tuple[str, str]]:
    return [(event["eventType"], event["job"]["name"]) for event in events]


def assets(fail: bool = False) -> dg.Definitions:
    """The crypto feed's stages by name, doing nothing."""
    shared: dict[str, Any] = {"partitions_def": daily_of_all()}

    @dg.asset(key=["alpaca", "crypto_alpaca_bars"], **shared)
    def extract() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"bars": 1440})

    @dg.asset(key=["kafka", "crypto_bars_topic"], deps=[extract], **shared)
    def publish() -> None:
        if fail:
            raise ValueError("Kafka is full")

    @dg.asset(key=["raw", "crypto_bars"], deps=[publish], **shared)
    def load() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"loaded": 1440})

    made = [extract, publish, load]
    return dg.Definitions(made, jobs=[dg.define_asset_job("crypto", made)], executor=executor())


def executed(definitions: dg.Definitions, instance: dg.DagsterInstance) -> tuple[bool, str, list[str]]:
    """Whether the run succeeded, its id, and the warnings in its log."""
    from crypto_platform.dagster_instance.internals import execute_in_process
    from crypto_platform.dagster_instance.run_days import Days, range_tags

    days = Days.from_keys("2026-05-01", "2026-05-01")
    assert days is not None
    job = definitions.resolve_job_def("crypto")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    run_id, events = execute_in_process(job, instance, quiet, range_tags((days.start, days.end)), None)
    success = any(event.is_job_success for event in list(events))
    log = instance.all_logs(run_id)
    return success, run_id, [entry.user_message for entry in log if entry.level == 30]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def collected(tmp_path: Path, in_force: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make these settings the process's, with a file of events."""

    def put(**others: Any) -> Path:
        path = tmp_path / "lineage" / "events.jsonl"
        use(Settings(crypto_platform_home=tmp_path / "home", openlineage_file=path, **others))
        return path

    return put


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, str | None, dict[str, Any]]], list[int]]]:
    """An HTTP collector: its address, what was posted (path, authorization, event), and what it answers next."""
    posted: list[tuple[str, str | None, dict[str, Any]]] = []
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, self.headers["Authorization"], orjson.loads(body)))
            self.send_response(answers.pop(0) if answers else 201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", posted, answers
    server.shutdown()
    server.server_close()


def test_run_and_its_steps_are_told(collected: Callable[..., Path], instance: dg.DagsterInstance) -> None:
    path = collected(kafka_bootstrap_servers="broker-1:9092,broker-2:9092", snowflake_account="acme-prod")
    success, run_id, warnings = executed(assets(), instance)
    events = read(path)
    assert (success, warnings) == (True, [])
    jobs = ["alpaca/crypto_alpaca_bars", "kafka/crypto_bars_topic", "raw/crypto_bars"]
    steps = [(kind, job) for job in jobs for kind in ("START", "COMPLETE")]
    assert outlined(events) == [("START", "crypto"), *steps, ("COMPLETE", "crypto")]
    whole, *inner, _ = events
    assert whole["run"]["runId"] == run_id
    assert {event["run"]["facets"]["parent"]["run"]["runId"] for event in inner} == {run_id}
    assert whole["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-05-01T00:00:00+00:00"
    assert whole["run"]["facets"]["nominalTime"]["nominalEndTime"] == "2026-05-02T00:00:00+00:00"
    lake, topic, ledger = (events[place]["outputs"][0] for place in (2, 4, 6))
    assert (lake["namespace"], Path(lake["name"]).parts[-3:]) == ("file", ("lake", "crypto", "1Min"))
    assert (topic["namespace"], topic["name"]) == ("kafka://broker-1:9092", "market.crypto.bars")
    assert (ledger["namespace"], ledger["name"]) == ("snowflake://acme-prod", "MARKET.RAW.crypto_bars")
    assert ledger["outputFacets"]["outputStatistics"]["rowCount"] == 1440
    (read_topic,) = events[6]["inputs"]
    assert (read_topic["namespace"], read_topic["name"]) == (topic["namespace"], topic["name"])
    (origin,) = ledger["facets"]["columnLineage"]["fields"]["bar_start"]["inputFields"]
    assert (origin["name"], origin["field"]) == ("market.crypto.bars", "t")


def test_failed_step_says_why(collected: Callable[..., Path], instance: dg.DagsterInstance) -> None:
    path = collected()
    success, _, _ = executed(assets(fail=True), instance)
    events = read(path)
    assert not success
    assert outlined(events)[-2:] == [("FAIL", "kafka/crypto_bars_topic"), ("FAIL", "crypto")]
    assert "Kafka is full" in events[-2]["run"]["facets"]["errorMessage"]["message"]


def test_lake_in_a_bucket_is_named_by_the_bucket(collected: Callable[..., Path]) -> None:
    given = Settings(lake_url="s3://lakes/market")
    name = dataset_name(given, dg.AssetKey(["alpaca", "us_equity_alpaca_corporate_actions"]))
    assert name is not None
    assert (name.namespace, name.name) == ("s3://lakes", "market/us_equity/corporate_actions")
    assert dataset_name(given, dg.AssetKey(["superset", "market_dashboard"])) is None


def test_collector_takes_the_same_events_as_the_file(
    collected: Callable[..., Path], instance: dg.DagsterInstance, collector: Any
) -> None:
    address, posted, _ = collector
    path = collected(openlineage_url=address, openlineage_api_key="key")
    assert executed(assets(), instance)[::2] == (True, [])
    assert {(where, who) for where, who, _ in posted} == {("/api/v1/lineage", "Bearer key")}
    assert [event for _, _, event in posted] == read(path)


def test_events_that_are_refused_are_one_warning(
    collected: Callable[..., Path], instance: dg.DagsterInstance, collector: Any
) -> None:
    address, posted, answers = collector
    answers += [422, 201, 401]
    collected(openlineage_url=address)
    success, _, (warning,) = executed(assets(), instance)
    assert success
    assert f"{address} refused 2 lineage events, first of crypto: 422" in warning
    assert len(posted) == 8


def test_collector_that_is_down_costs_a_warning(collected: Callable[..., Path], instance: dg.DagsterInstance) -> None:
    # Nothing listens on port 1.
    path = collected(openlineage_url="http://user:secret@127.0.0.1:1")
    success, _, (warning,) = executed(assets(), instance)
    assert success
    assert "http://127.0.0.1:1 does not take events" in warning
    assert "unset OPENLINEAGE_URL" in warning
    assert "secret" not in warning
    assert len(read(path)) == 8


def test_run_waits_for_a_slow_collector_no_longer_than_it_may(
    collected: Callable[..., Path], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()

    class Hanging:
        def emit(self, event: object) -> None:
            never.wait()

    monkeypatch.setattr(delivery, "_transports", lambda _: {"http://slow": Hanging()})
    collected(openlineage_timeout_seconds=0.1)
    success, _, (warning,) = executed(assets(), instance)
    never.set()
    assert success
    assert "raise OPENLINEAGE_TIMEOUT_SECONDS" in warning


@pytest.mark.slow
def test_without_a_setting_nothing_is_imported() -> None:
    program = (
        "import sys; from crypto_platform.definitions import defs; import dagster as dg; "
        "found = defs().executor; assert found is dg.in_process_executor; "
        "assert not [name for name in sys.modules if name.split('.')[0] == 'openlineage']"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_schema_refuses_what_is_not_specified() -> None:
    event = {
        "eventTime": "2026-05-01T00:00:00+00:00",
        "eventType": "START",
        "producer": "urn:a",
        "schemaURL": "urn:b",
        "run": {"runId": "0197b2f0-0000-7000-8000-000000000000", "facets": {}},
        "job": {"namespace": "a", "name": "b", "facets": {}},
        "inputs": [],
        "outputs": [],
    }
    check(event)
    for wrong in (
        {"eventType": "STARTED"},
        {"job": {"name": "b"}},
        {"run": {"runId": "7"}},
        {"inputs": [{"name": "a"}]},
        {"more": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check({**event, **wrong})


def test_whole_run_is_told_to_the_columns_of_the_marts(crypto_day: Run, crypto_day_lineage: Path) -> None:
    events = read(crypto_day_lineage)
    ended = {event["job"]["name"]: event for event in events if event["eventType"] != "START"}
    assert {event["eventType"] for event in ended.values()} == {"COMPLETE"}
    assert len(events) == 2 * len({(event["run"]["runId"]) for event in events})
    root = ended["crypto"]["run"]["runId"]
    assert root == crypto_day.run_id
    step = ended["models"]
    mart = ended["MARKET.MARTS.crypto_platform.fct_bars.build.run".replace("MARKET", "PLATFORM")]
    assert mart["run"]["facets"]["parent"]["run"]["runId"] == step["run"]["runId"]
    assert mart["run"]["facets"]["parent"]["root"]["run"]["runId"] == root
    # What the load wrote is what dbt's staging read, under one name.
    (ledger,) = ended["raw/crypto_bars"]["outputs"]
    staged = ended["PLATFORM.STAGING.crypto_platform.stg_crypto__bars.build.run"]
    assert [(found["namespace"], found["name"]) for found in staged["inputs"]] == [
        (ledger["namespace"], ledger["name"])
    ]
    columns = staged["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert [(found["name"], found["field"]) for found in columns["close"]["inputFields"]] == [(ledger["name"], "close")]
    # Of every model; and a column comes from nothing that is no dataset.
    datasets = {found["name"] for event in ended.values() for found in (*event["inputs"], *event["outputs"])} | SEEDS
    for event in ended.values():
        for output in event["outputs"]:
            traced = output["facets"].get("columnLineage", {"fields": {}})["fields"]
            assert traced or output["name"].endswith(UNTRACED), output["name"]
            assert {found["name"] for column in traced.values() for found in column["inputFields"]} <= datasets
