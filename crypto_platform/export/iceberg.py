"""An Apache Iceberg table of bars, in a catalog of one SQLite file beside it.

Iceberg's metadata has absolute paths, so that the folder cannot be made beside itself and exchanged as those of files
are: the table's own commit is what makes an export whole. Snapshots stay, until somebody expires them.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from crypto_platform.export.folder import explaining, exporting
from crypto_platform.export.formats import Partition, span
from crypto_platform.export.manifest import Manifest
from crypto_platform.export.plan import Plan, plan
from crypto_platform.export.request import ExportError, ExportReport, ExportRequest
from crypto_platform.export.run import held_manifest, is_held, kept_files, report, silent
from crypto_platform.export.tables import VALUES, ParquetWriter
from crypto_platform.export.writing import Progress, write
from crypto_platform.failpoints import reach
from crypto_platform.research import MarketData
from crypto_platform.research.bars_query import Period
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.table import Table

FORMAT = "iceberg"
CATALOG, TABLE = "bars", "market.bars"
COLUMNS = ("symbol", "bar_start", *VALUES)
_FILE = "file://"
_DATA = PurePosixPath("warehouse", "market", "bars", "data")


def export_iceberg(request: ExportRequest, settings: Settings, progress: Progress = silent) -> ExportReport:
    """Bring the table up to what the marts have of the symbols and range, in one commit; what else it has stays.

    Raises:
        ExportError, ReadError: as `run.export`.
    """
    try:
        import pyiceberg.catalog.sql  # noqa: F401
    except ImportError as error:
        raise ExportError(f"{error}: install the extra, `pip install 'crypto-platform[iceberg]'`") from None
    out = request.out.expanduser().resolve()
    with exporting(settings, out), MarketData(settings) as market:
        manifest = held_manifest(out, FORMAT, request)
        sources = market.sources(request.symbols, request.start, request.end, request.timeframe, request.feed)
        by: Period = "year" if request.timeframe == "1Day" else "month"
        planned = plan(request, market, sources, by, manifest, lambda file: is_held(out, file))
        result = replace(manifest, ranges=planned.all_ranges(manifest), files=kept_files(planned, manifest))
        if planned.changed or planned.removed or manifest.ranges != result.ranges or not out.exists():
            with explaining(out):
                _commit(out, market, planned, manifest, result, progress)
    return report(planned, result)


def catalog(out: Path) -> Any:
    """The catalog of an export's folder."""
    from pyiceberg.catalog.sql import SqlCatalog

    return SqlCatalog(CATALOG, uri=f"sqlite:///{out}/catalog.db", warehouse=f"{_FILE}{out}/warehouse")


def _commit(
    out: Path, market: MarketData, planned: Plan, manifest: Manifest, result: Manifest, progress: Progress
) -> None:
    if not out.exists() or not any(out.iterdir()):
        # An export of nothing, until there is more.
        out.mkdir(parents=True, exist_ok=True)
        manifest.write(out)
    table = _table(out, planned.by)
    _remove_orphans(out, table)
    token = uuid4().hex[:12]

    def path(partition: Partition, first: datetime, last: datetime) -> PurePosixPath:
        # Iceberg takes paths as they are, with no sign for what may not be in one.
        return _DATA / partition.symbol.replace("/", "-") / f"{partition.period}-{token}.parquet"

    try:
        files = write(planned, market, COLUMNS, lambda partition, file: ParquetWriter(file), path, out, progress)
        with table.transaction() as transaction:
            if table.current_snapshot() and (gone := list(_replaced(planned))):
                transaction.delete(_any(gone))
            if files:
                paths = [f"{_FILE}{out / file.path}" for file in files.values()]
                transaction.add_files(paths, check_duplicate_files=False)
            reach("before_swap")
    except BaseException:
        _remove_orphans(out, table.refresh())
        raise
    reach("after_swap")
    result.files |= files
    result.write(out)


def _table(out: Path, by: str) -> "Table":
    """The folder's table, made where it is not there yet: partitioned by symbol and month or year."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform, MonthTransform, YearTransform
    from pyiceberg.types import DoubleType, LongType, NestedField, StringType, TimestamptzType

    found = catalog(out)
    if found.table_exists(TABLE):
        table: Table = found.load_table(TABLE)
        return table
    kinds = {"symbol": StringType(), "bar_start": TimestamptzType(), "trade_count": LongType()}
    fields = [
        NestedField(number, name, kinds.get(name, DoubleType()), required=False)
        for number, name in enumerate(COLUMNS, 1)
    ]
    transform: Any = YearTransform() if by == "year" else MonthTransform()
    spec = PartitionSpec(
        PartitionField(1, 1000, IdentityTransform(), "symbol"), PartitionField(2, 1001, transform, f"bar_start_{by}")
    )
    found.create_namespace_if_not_exists("market")
    created: Table = found.create_table(TABLE, Schema(*fields), partition_spec=spec)
    return created


def _replaced(planned: Plan) -> Iterator[Any]:
    """What of the table the new files are in place of: whole partitions, so that no file is in two of them."""
    # As pydantic's classes mypy takes them for models without positional arguments.
    expressions: Any = import_module("pyiceberg.expressions")
    changed: dict[str, list[int]] = {}
    for symbol, period in sorted((*planned.changed, *planned.removed)):
        changed.setdefault(symbol, []).append(period)
    staying = {symbol for symbol, period in planned.there if (symbol, period) not in planned.changed}
    for symbol, periods in changed.items():
        is_symbol = expressions.EqualTo("symbol", symbol)
        if symbol not in staying:
            yield is_symbol
            continue
        for period in periods:
            start, end = (moment.isoformat() for moment in span(planned.by, period))
            begins = expressions.GreaterThanOrEqual("bar_start", start)
            yield expressions.And(is_symbol, begins, expressions.LessThan("bar_start", end))


def _any(conditions: list[Any]) -> Any:
    expressions: Any = import_module("pyiceberg.expressions")
    return expressions.Or(*conditions) if len(conditions) > 1 else conditions[0]


def _remove_orphans(out: Path, table: "Table") -> None:
    """Remove the files that an export wrote and did not commit."""
    if not (out / _DATA).exists():
        return
    known = {path.removeprefix(_FILE) for path in table.inspect.all_files()["file_path"].to_pylist()}
    for file in (out / _DATA).rglob("*.parquet"):
        if str(file) not in known:
            file.unlink()
