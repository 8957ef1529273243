"""Write docs/reference/settings.md, cli.md, snowflake.md, production.md and models.md from the code.

Run `python docs/generate_reference.py [--check]`.

`--check` writes nothing and exits with 1, naming the pages that are stale. The models come from dbt's manifest, which
`make setup` prepares.
"""

import inspect
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from crypto_platform.cli.app import app
from crypto_platform.connectors.snowflake.account import Account, Storage
from crypto_platform.connectors.snowflake.grants import NEEDED, Place
from crypto_platform.connectors.snowflake.setup import script
from crypto_platform.market.feed_spec import feeds
from crypto_platform.settings import PROJECT_ROOT, Settings
from crypto_platform.transform.project import manifest
from rehearsal import documentation as production

REFERENCE = PROJECT_ROOT / "docs" / "reference"
GENERATED = "<!-- Written by docs/generate_reference.py: change the code that it names, then run it again. -->\n\n"
# Sections of the settings, by how a setting's name begins; what matches none is the platform's.
SECTIONS = {
    "Platform": (),
    "Alpaca": ("apca_", "alpaca_"),
    "Streaming": ("stream_", "loader_"),
    "Kafka": ("kafka_",),
    "Spark": ("spark_",),
    "Snowflake": ("snowflake_", "stage_"),
    "Alerts": ("alert_",),
    "Lineage": ("openlineage_",),
    "Superset": ("superset_",),
    "Dagster": ("dagster_", "restart_"),
    "Embedded default": ("sandbox_", "java_", "jvm_"),
}
LAYERS = ("staging", "intermediate", "marts", "semantics")


def pages() -> dict[str, str]:
    """Each page's content by its file name."""
    return {
        "settings.md": GENERATED + "\n".join(_settings()),
        "cli.md": GENERATED + "\n".join(_commands()),
        "snowflake.md": GENERATED + "\n".join(_snowflake()),
        "production.md": GENERATED + "\n".join(production.page()),
        "models.md": GENERATED + "\n".join(_models()),
    }


def stale(folder: Path = REFERENCE) -> list[str]:
    """The names of the pages in `folder` that are not what the code says now."""
    return [
        name
        for name, content in pages().items()
        if not (folder / name).exists() or (folder / name).read_text() != content
    ]


def main(arguments: Sequence[str]) -> int:
    """The exit code: 1 when a page is stale under `--check`, 2 for an unknown argument."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    if arguments:
        outdated = stale()
        for name in outdated:
            print(f"docs/reference/{name} is stale: run `python docs/generate_reference.py`", file=sys.stderr)
        return 1 if outdated else 0
    for name, content in pages().items():
        (REFERENCE / name).write_text(content)
    return 0


# Settings


def _settings() -> Iterator[str]:
    yield "# Settings\n"
    yield (
        "Read once, from the environment, then from `.env` in the checkout or the file that `CRYPTO_PLATFORM_ENV_FILE` "
        "names; an empty value counts as unset. A system whose address is not set is the embedded one on this machine. "
        "Relative paths are of the checkout. Defined in `crypto_platform/settings.py`.\n"
    )
    for section in SECTIONS:
        fields = {name: field for name, field in Settings.model_fields.items() if _section(name) == section}
        yield f"## {section}\n"
        yield from _table(
            ("setting", "type", "default", "description"),
            (
                (
                    f"`{name.upper()}`",
                    _type(field.annotation, field.metadata),
                    _default(field),
                    field.description or "",
                )
                for name, field in fields.items()
            ),
        )


def _section(name: str) -> str:
    return next((section for section, prefixes in SECTIONS.items() if name.startswith(prefixes or ("\0",))), "Platform")


def _type(annotation: Any, constraints: Sequence[object] = ()) -> str:
    """A type in words, with the bounds of its values."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], [part for c in arguments[1:] for part in getattr(c, "metadata", [c])])
    if origin in (Union, types.UnionType):
        return _type(next(part for part in arguments if part is not type(None)), constraints)
    if origin is list:
        return f"{_type(arguments[0])}, repeatable"
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    names = {str: "text", SecretStr: "secret", bool: "`true` or `false`", int: "integer", float: "number", Path: "path"}
    bounds = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "pattern": "matching"}
    limits = [
        f"{words} `{value}`"
        for constraint in constraints
        for name, words in bounds.items()
        if (value := getattr(constraint, name, None)) is not None
    ]
    return ", ".join([names.get(annotation, getattr(annotation, "__name__", str(annotation))), *limits])


def _default(field: FieldInfo) -> str:
    value = field.default
    if value in (None, ""):
        return "unset"
    if isinstance(value, Path):
        value = value.relative_to(PROJECT_ROOT)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


# Commands


def _commands() -> Iterator[str]:
    root = typer.main.get_command(app)
    yield "# Command line\n"
    yield f"{_plain(root.help)}\n"
    yield from _group(root, "crypto-platform", 2)


def _group(group: Any, path: str, level: int) -> Iterator[str]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        own = f"{path} {name}"
        yield f"{'#' * level} {own}\n"
        text, _, example = _plain(command.help).partition("Example: ")
        yield f"{text.strip()}\n"
        if hasattr(command, "commands"):
            yield from _group(command, own, level + 1)
            continue
        if example:
            yield f"```sh\n{example.strip()}\n```\n"
        annotations = get_type_hints(command.callback)
        shown = (parameter for parameter in command.params if parameter.name in annotations)
        rows = [_parameter(parameter, annotations[parameter.name]) for parameter in shown]
        if rows:
            yield from _table(("parameter", "value", "default", "description"), rows)


def _parameter(parameter: Any, annotation: Any) -> tuple[str, str, str, str]:
    is_flag = getattr(parameter, "is_flag", False)
    flags = [f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts)]
    name = ", ".join(flags) if parameter.param_type_name == "option" else f"`{parameter.name.upper()}`"
    value = "flag" if is_flag else parameter.metavar or _type(annotation)
    default = "" if is_flag or parameter.default in (None, "") else str(parameter.default)
    return name, value, "required" if parameter.required else default, parameter.help or ""


def _plain(text: str | None) -> str:
    return inspect.cleandoc(text or "").replace("\f", "")


# Snowflake


def _snowflake() -> Iterator[str]:
    datasets = {name: spec.datasets for name, spec in feeds().items()}
    account = Account(
        allowed_ranges=("203.0.113.0/24",),
        storage=Storage("s3://bucket/path", "arn:aws:iam::123456789012:role/snowflake"),
        costs=True,
    )
    yield "# Snowflake\n"
    yield (
        "What `crypto-platform snowflake setup` makes on an account. How to run it: "
        "[set up Snowflake](../how-to/snowflake.md). Time-outs are in seconds.\n"
    )
    yield "## Roles\n"
    yield from _table(
        ("role", "does", "user", "warehouse", "statement", "queue", "lock"),
        (
            (
                *(f"`{s.role}`", s.purpose, f"`{s.user}`", f"`{s.warehouse}`"),
                *(str(seconds) for seconds in (s.statement_timeout, s.queued_timeout, s.lock_timeout)),
            )
            for s in account.services
        ),
    )
    yield "## Privileges\n"
    for service, needed in zip(account.services, NEEDED.values(), strict=True):
        yield f"`{service.role}`: {_one_line(inspect.getdoc(needed) or '')}\n"
        yield from _table(
            ("privileges", "on"),
            (
                (
                    ", ".join(grant.privileges),
                    f"every {grant.kind.lower()} of `{grant.name}`, now and later"
                    if grant.of_schema
                    else f"{grant.kind.lower()} `{grant.name}`",
                )
                for grant in needed(Place(account.database, service.warehouse, account.stage))
            ),
        )
    yield "## Script\n"
    yield (
        "As printed for the feeds that ship, with `--allow 203.0.113.0/24 --storage-url s3://bucket/path "
        "--storage-aws-role arn:aws:iam::123456789012:role/snowflake` and no keys.\n"
    )
    yield "```sql"
    yield from script(account, datasets)
    yield "```\n"


# Models


def _models() -> Iterator[str]:
    content: Any = manifest()
    models = sorted(
        (node for node in content["nodes"].values() if node["resource_type"] in ("model", "snapshot", "seed")),
        key=lambda node: node["name"],
    )
    tests = [node for node in content["nodes"].values() if node["resource_type"] == "test"]
    yield "# Models\n"
    yield (
        "Every model, seed and snapshot of `dbt_project`, with its columns and tests; marts are what others may read. "
        "How they come about: [data models](../explanation/models.md).\n"
    )
    layers = {layer: [node for node in models if _layer(node) == layer] for layer in (*LAYERS, "seeds", "snapshots")}
    for layer, nodes in layers.items():
        yield f"## {layer.capitalize()}\n"
        for node in nodes:
            yield from _model(node, [test for test in tests if test.get("attached_node") == node["unique_id"]])


def _layer(node: dict[str, Any]) -> str:
    if node["resource_type"] != "model":
        return f"{node['resource_type']}s"
    return str(node["fqn"][1])


def _model(node: dict[str, Any], tests: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"### {node['name']}\n"
    config = node["config"]
    facts = [f"`{node['schema']}`", str(config["materialized"]), str(node.get("access") or "")]
    yield f"{', '.join(fact for fact in facts if fact)}. {_one_line(node['description'])}\n"
    of_model = sorted(test["name"] for test in tests if not test.get("column_name"))
    if of_model:
        yield f"Tests: {', '.join(f'`{name}`' for name in of_model)}.\n"
    if node["columns"]:
        yield from _table(
            ("column", "type", "description", "tests"),
            (
                (
                    f"`{column['name']}`",
                    (column.get("data_type") or "").lower(),
                    column["description"],
                    ", ".join(_column_tests(column, tests)),
                )
                for column in node["columns"].values()
            ),
        )


def _column_tests(column: dict[str, Any], tests: Sequence[dict[str, Any]]) -> list[str]:
    constraints = [constraint["type"].replace("_", " ") for constraint in column.get("constraints", [])]
    generic = [
        test["test_metadata"]["name"].replace("_", " ")
        for test in tests
        if test.get("column_name") == column["name"] and test.get("test_metadata")
    ]
    return sorted({*constraints, *generic})


# Markdown


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_one_line(cell).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
