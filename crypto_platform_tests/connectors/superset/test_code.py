import copy
import json
import re

import pytest
import yaml

from crypto_platform.connectors.superset import charts, code
from crypto_platform.connectors.superset.client import connect
from crypto_platform.connectors.superset.home import CODE, SupersetError
from crypto_platform.sandbox.supervisord import log_file
from crypto_platform.settings import Settings
from crypto_platform.transform import exposures as facts
from crypto_platform.transform.project import manifest
from crypto_platform_tests.dbt_project.warehouse import PROJECT, Warehouse

# With the set-up of Superset and of the marts.
pytestmark = pytest.mark.timeout(900)
FILES = code.read()
CHARTS = {path: content for path, content in FILES.items() if path.startswith("charts/")}
DATASETS = {path: content for path, content in FILES.items() if path.startswith("datasets/")}


def test_what_superset_exports_is_the_code(superset: Settings) -> None:
    with connect(superset) as client:
        assert code.take(client, FILES) == FILES


def test_an_import_onto_a_seeded_superset_gives_the_same(superset: Settings) -> None:
    """Whatever was changed in the pages is overwritten, what is not of the code stays."""
    changed, path = copy.deepcopy(FILES), "charts/loads.yaml"
    changed[path]["slice_name"], changed[path]["params"]["row_limit"] = "Changed", 1
    stranger = copy.deepcopy(FILES["charts/gaps.yaml"]) | {
        "uuid": "00000000-0000-4000-8000-000000000000",
        "slice_name": "A chart of somebody's own",
    }
    with connect(superset) as client:
        code.put(client, changed | {"charts/stranger.yaml": stranger})
        assert code.take(client, FILES) != FILES
        code.put(client, FILES)
        assert code.take(client, FILES) == FILES
        assert client.get(f"chart/{stranger['uuid']}").json()["result"]["slice_name"] == stranger["slice_name"]


def test_every_chart_answers(superset: Settings) -> None:
    with connect(superset) as client:
        answers = list(charts.ask(client, FILES))
    assert {a.chart: a.error for a in answers if a.error} == {}
    # What is built for the tests was loaded without RAW.LOADS.
    empty = CHARTS["charts/loads.yaml"]["slice_name"]
    assert {a.chart for a in answers if a.rows} == {c["slice_name"] for c in CHARTS.values()} - {empty}


def test_a_chart_that_does_not_answer_says_why(superset: Settings) -> None:
    broken = copy.deepcopy(FILES)
    dataset = broken["datasets/Market/loads.yaml"]
    dataset["sql"] = dataset["sql"].replace("marts.fct_loads", "marts.no_such_table")
    with connect(superset) as client:
        try:
            code.put(client, broken)
            failed = {a.chart: a.error for a in charts.ask(client, FILES) if a.error}
        finally:
            code.put(client, FILES)
    assert list(failed) == [CHARTS["charts/loads.yaml"]["slice_name"]]
    assert "no_such_table" in next(iter(failed.values())).lower()


def test_code_that_superset_refuses_leaves_everything_as_it_was(superset: Settings) -> None:
    path = "charts/loads.yaml"
    wrong = FILES | {path: {key: value for key, value in CHARTS[path].items() if key != "viz_type"}}
    with connect(superset) as client:
        with pytest.raises(SupersetError, match="Schema validation failed"):
            code.put(client, wrong)
        assert code.take(client, FILES) == FILES
    said = log_file(superset, "superset").read_text()
    assert re.search(rf"Schema validation failed for {re.escape(path)} .*viz_type", said)


@pytest.mark.parametrize("path", CHARTS)
def test_a_chart_has_a_title_of_a_few_words_and_describes_itself(path: str) -> None:
    title = CHARTS[path]["slice_name"]
    assert "?" not in title
    assert len(title.split()) <= 6
    assert len(CHARTS[path]["description"]) > 40


@pytest.mark.parametrize("path", DATASETS)
def test_a_dataset_reads_what_it_and_dbts_exposure_say(path: str) -> None:
    dataset = DATASETS[path]
    read = set(re.findall(r"marts\.(\w+)", dataset["sql"])) - {"fct_bars"} | set(
        re.findall(r"'((?:fct_bars|fct_indicators)\w*)'", dataset["sql"])
    )
    exposure = re.search(r"exposure (\w+)", dataset["description"])[1]  # type: ignore[index]
    exposures = {e["name"]: e["depends_on"]["nodes"] for e in manifest()["exposures"].values()}  # type: ignore[attr-defined]
    exposed = {node.split(".")[-1] for node in exposures[exposure]}
    assert read <= exposed
    assert {name.upper() for name in read} == set(re.findall(r"MARTS\.(\w+)", dataset["description"]))
    assert bool(read) != ("from no mart" in dataset["description"])


def test_what_charts_say_of_dbts_settings_is_so() -> None:
    settings = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    assert f"({100 * settings['risk_free_rate']:g} % a year as" in CHARTS["charts/risk_table.yaml"]["description"]
    assert f" {settings['anomaly_score']} robust deviations" in CHARTS["charts/anomalies.yaml"]["description"]


@pytest.mark.parametrize("path", CHARTS)
def test_a_table_formats_what_it_shows(path: str) -> None:
    params = CHARTS[path]["params"]
    shown = {*params.get("all_columns", []), *params.get("groupby", [])}
    shown |= {metric["label"] for metric in params.get("metrics", [])}
    assert set(params.get("column_config", {})) <= shown


def test_every_dashboard_has_its_exposure() -> None:
    urls = {e["name"]: e["url"] for e in manifest()["exposures"].values()}  # type: ignore[attr-defined]
    assert {d["slug"]: f"/superset/dashboard/{d['slug']}/" for d in code.dashboards(FILES)} == {
        name: address.removeprefix("http://127.0.0.1:8088") for name, address in urls.items()
    }


def test_views_are_marts_too(recorded: Warehouse) -> None:
    assert facts.missing(recorded.settings) == []


def test_every_chart_is_on_one_dashboard() -> None:
    shown = [uuid for dashboard in code.dashboards(FILES) for uuid in code.charts_of(dashboard)]
    assert sorted(shown) == sorted(code.charts(FILES))


def test_the_code_names_no_address_and_no_secret() -> None:
    for file in CODE.rglob("*.yaml"):
        assert not re.search(r"https?://|127\.0\.0\.1|password|private_key", file.read_text(), re.IGNORECASE), file


def test_the_files_are_as_the_export_writes_them() -> None:
    assert code.write(FILES) == []


def test_a_query_is_that_of_the_charts_parameters() -> None:
    params = {
        "x_axis": "day",
        "groupby": ["symbol"],
        "metrics": ["a"],
        "row_limit": 7,
        "adhoc_filters": [
            {"expressionType": "SIMPLE", "subject": "day", "operator": "TEMPORAL_RANGE", "comparator": "No filter"},
            {"expressionType": "SQL", "sqlExpression": "a > 1"},
        ],
        "order_by_cols": [json.dumps(["day", False])],
    }
    assert charts.query(params) == {
        "columns": ["day", "symbol"],
        "metrics": ["a"],
        "orderby": [["day", False]],
        "filters": [{"col": "day", "op": "TEMPORAL_RANGE", "val": "No filter"}],
        "extras": {"where": "(a > 1)"},
        "row_limit": 7,
    }
