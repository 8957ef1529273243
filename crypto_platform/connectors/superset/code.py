"""The dashboards as code: `dashboards/` into Superset, and out of it again in the same form."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from crypto_platform.connectors.superset.client import Client, url
from crypto_platform.connectors.superset.home import CODE, SupersetError
from crypto_platform.settings import Settings

KINDS = ("databases", "datasets", "charts", "dashboards")
Files = dict[str, dict[str, Any]]
"""Parsed YAML by path under `dashboards/`."""


def read(folder: Path = CODE) -> Files:
    """The code, file by file."""
    files = (path for kind in KINDS for path in sorted((folder / kind).rglob("*.yaml")))
    return {str(path.relative_to(folder)): yaml.safe_load(path.read_text()) for path in files}


def charts(files: Files) -> dict[str, str]:
    """uuid → title of the charts."""
    return {content["uuid"]: content["slice_name"] for path, content in files.items() if path.startswith("charts/")}


def dashboards(files: Files) -> list[dict[str, Any]]:
    """The dashboards of the code, in the order of their files."""
    return [content for path, content in files.items() if path.startswith("dashboards/")]


def addresses(files: Files, settings: Settings) -> dict[str, str]:
    """Title → address of the dashboards."""
    return {d["dashboard_title"]: f"{url(settings)}/superset/dashboard/{d['slug']}/" for d in dashboards(files)}


def charts_of(dashboard: Mapping[str, Any]) -> list[str]:
    """uuids of the charts that a dashboard of the code shows."""
    return [uuid for uuid, _ in _chart_numbers(dashboard["position"])]


def put(client: Client, files: Files) -> None:
    """Import the code; what is there under the same uuid is overwritten, all else stays.

    It is what `superset import-directory --overwrite` does, through the API of the server that is up.

    Raises:
        SupersetError: Superset refuses it, and everything is as it was; its API does not say which file, its log does.
    """
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("code/metadata.yaml", _dump({"version": "1.0.0", "type": "assets"}))
        for path, content in files.items():
            archive.writestr(f"code/{path}", _dump(content))
    try:
        client.post("assets/import/", files={"bundle": ("code.zip", bundle.getvalue(), "application/zip")})
    except SupersetError as error:
        hint = "Superset's log (embedded: sandbox/logs/superset.log in the home) names the file and the field"
        raise SupersetError(f"{error}. {hint}: look for `Schema validation failed`") from None


def take(client: Client, files: Files) -> Files:
    """What Superset holds now of everything in `files`, in the form of the code.

    Superset numbers charts as they come in and lists columns as it likes; the code's numbers and order are put back.
    """
    archive = zipfile.ZipFile(io.BytesIO(client.get("assets/export/").content))
    exported = {name.split("/", 1)[1]: yaml.safe_load(archive.read(name)) for name in archive.namelist()}
    paths = {content["uuid"]: path for path, content in files.items()}
    result = {
        paths[content["uuid"]]: content
        for content in exported.values()
        if "uuid" in content and content["uuid"] in paths
    }
    return {path: _as_in_code(result[path], files[path]) for path in files if path in result}


def write(files: Files, folder: Path = CODE) -> list[str]:
    """Write the code's files; returns the paths of those that changed."""
    changed = []
    for path, content in files.items():
        text, file = _dump(content), folder / path
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            changed.append(path)
    return changed


def _as_in_code(content: dict[str, Any], code: Mapping[str, Any]) -> dict[str, Any]:
    if "params" in content and "viz_type" in content:
        # Numbers of this Superset, beside the uuid that says the same.
        for name in ("datasource", "slice_id"):
            content["params"].pop(name, None)
    if "columns" in content:
        places = {column["column_name"]: place for place, column in enumerate(code["columns"])}
        content["columns"].sort(key=lambda column: places.get(column["column_name"], len(places)))
    if "position" in content:
        _number_charts(content, dict(_chart_numbers(code["position"])))
    return content


def _number_charts(dashboard: dict[str, Any], own: Mapping[str, int]) -> None:
    """Give charts the numbers of the code, by which its filters leave charts out."""
    numbers = {number: own.get(uuid, number) for uuid, number in _chart_numbers(dashboard["position"])}
    for child in dashboard["position"].values():
        if isinstance(child, dict) and child.get("type") == "CHART":
            child["meta"]["chartId"] = numbers[child["meta"]["chartId"]]
    for chosen in dashboard["metadata"].get("native_filter_configuration", []):
        scope = chosen.get("scope", {})
        scope["excluded"] = [numbers.get(number, number) for number in scope.get("excluded", [])]


def _chart_numbers(position: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for child in position.values():
        if isinstance(child, dict) and child.get("type") == "CHART":
            yield child["meta"]["uuid"], child["meta"]["chartId"]


class _Dumper(yaml.SafeDumper):
    """Texts of several lines, SQL and templates, as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _dump(content: Mapping[str, Any]) -> str:
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
