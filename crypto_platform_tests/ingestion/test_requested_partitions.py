from datetime import UTC, date, datetime
from pathlib import Path

from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.ingestion.requested_partitions import RequestedPartition, requested_partitions
from crypto_platform.market.bars import Timeframe
from crypto_platform_tests import factories

DAY, MISSING = date(2026, 1, 2), date(2026, 1, 3)
OBSERVED = datetime(2026, 1, 5, tzinfo=UTC)


def test_an_answer_counts_until_its_time_where_the_ledger_holds_all_of_it_else_until_the_day_began(
    tmp_path: Path,
) -> None:
    lake = Lake(str(tmp_path))
    two = [factories.line("BTC/USD", factories.bar(n)) for n in range(2)]
    sections = {"BTC/USD": Section(OBSERVED, two), "ETH/USD": Section(OBSERVED, two), "SOL/USD": Section(OBSERVED, [])}
    lake.write_day("made", "1Min", DAY, sections, "run")
    held = {DAY: {"BTC/USD": 2, "ETH/USD": 1}}
    found = requested_partitions(lake, "made", Timeframe.parse("1Min"), [DAY, MISSING], held)
    # A day that the lake has no file of was not asked for.
    assert list(found) == [
        RequestedPartition("BTC/USD", DAY, OBSERVED, 2),
        RequestedPartition("ETH/USD", DAY, datetime(2026, 1, 2, tzinfo=UTC), 2),
        RequestedPartition("SOL/USD", DAY, OBSERVED, 0),
    ]
