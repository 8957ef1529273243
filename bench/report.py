"""The figures as one table."""

from typing import Any

from rich.table import Table

MIB = 2**20


def table(results: dict[str, Any]) -> Table:
    """A row a figure, with its target and whether it is met."""
    found = results["machine"]
    title = (
        f"{found['date']}, {found['cores']} cores, {found['memory_gib']:g} GiB, load before {found['load_before']:g}, "
        f"commit {found['commit']}"
    )
    rows = Table(title=title, title_justify="left")
    for name in ("what", "measured", "target", ""):
        rows.add_column(name, justify="right" if name == "measured" else "left")
    sections = {
        "one_day": _one_day,
        "year": _year,
        "other_tools": _others,
        "linearity": _linearity,
        "models": _models,
        "stream": _stream,
        "dashboards": _dashboards,
        "daily_history": _daily_history,
        "executors": _executors,
        "event_log": _event_log,
        "research": _research,
        "scale": _scale,
    }
    for section, add in sections.items():
        if section in results:
            add(rows, results)
            rows.add_section()
    return rows


def _one_day(rows: Table, results: dict[str, Any]) -> None:
    day = results["one_day"]
    first, again = day["first"], day["again"]
    rows.add_row(f"[bold]One day of BTC/USD[/bold], {first['bars']:,.0f} bars, medians of {day['runs']} runs")
    _at_most(rows, "from launch to the end of dbt", first["seconds"], day["target_seconds"], "s")
    _at_most(rows, "own work", first["own_seconds"], day["target_own_seconds"], "s")
    for name, seconds in first["hops"].items():
        rows.add_row(f"  {name}", f"{seconds:.2f} s")
    _processes(rows, first["processes"], day["target_rss"])
    _at_most(rows, "loaded again: rows added", again["rows_added"], 0, "")
    _at_most(rows, "loaded again: cost to the first time", day["again_to_first"], 1.0, "x")


def _year(rows: Table, results: dict[str, Any]) -> None:
    year = results["year"]
    rows.add_row(f"[bold]{year['symbols']} symbols x {year['days']} days[/bold], {year['bars']:,} bars in one run")
    _at_least(rows, "API to RAW", year["bars_per_second_to_raw"], year["target_to_raw"], "bars/s")
    _at_least(rows, "API to dbt's facts", year["bars_per_second_with_dbt"], year["target_with_dbt"], "bars/s")
    rows.add_row("from launch to the end", f"{year['seconds']:.1f} s")
    for name, hop in year["hops"].items():
        measured = f"{hop['seconds']:.1f} s  {hop['bars_per_second']:>9,.0f} bars/s"
        limit = year["target_spark"]
        is_met = hop["bars_per_second"] >= limit
        rows.add_row(f"  {name}", measured, *((f">= {limit:,} bars/s", _mark(is_met)) if name == "spark" else ()))
    _processes(rows, year["processes"], year["target_rss"])


def _processes(rows: Table, processes: dict[str, Any], limit: float) -> None:
    for name, used in processes.items():
        measured = f"{used['peak_rss'] / MIB:,.0f} MiB  {used['cpu_seconds']:>6.1f} s"
        target = f"<= {limit / MIB:,.0f} MiB", _mark(used["peak_rss"] <= limit)
        rows.add_row(f"  {name}: memory at most, CPU", measured, *target)


def _others(rows: Table, results: dict[str, Any]) -> None:
    ours = results["year"]["bars_per_second_to_raw"]
    rows.add_row("[bold]Other tools on the same API[/bold], no Kafka, no Spark, no ledger")
    for name, tool in results["other_tools"].items():
        rows.add_row(f"{name}, {tool['bars']:,} bars", f"{tool['bars_per_second']:,.0f} bars/s")
        rows.add_row("  memory at most, CPU", f"{tool['peak_rss'] / MIB:,.0f} MiB  {tool['cpu_seconds']:>6.1f} s")
        _at_least(rows, "  API to RAW here, to that", ours / tool["bars_per_second"], tool["target_ratio"], "x")


def _linearity(rows: Table, results: dict[str, Any]) -> None:
    found = results["linearity"]
    (few, many), (quick, slow) = found["bars"], found["seconds"]
    rows.add_row(f"[bold]{few:,} and {many:,} bars[/bold], {found['symbols']} symbols, API to RAW")
    rows.add_row("seconds", f"{quick:.1f} s, {slow:.1f} s")
    _at_most(rows, "cost of ten times the bars", found["ratio"], found["target_ratio"], "x")


def _models(rows: Table, results: dict[str, Any]) -> None:
    found = results["models"]
    rows.add_row(f"[bold]dbt[/bold] over {found['bars']:,} bars, from launch to end, with its tests")
    _at_most(rows, "the first build, in the year's run", found["first"], found["target_first"], "s")
    rows.add_row("a day's increment", f"{found['increment']:.1f} s")
    for command, seconds in found["empty"].items():
        rows.add_row(f"`{command} build` of nothing", f"{seconds:.1f} s")
    _at_most(rows, "a day's increment, to `dbt build`", found["increment_to_empty"], found["target_increment"], "x")


def _stream(rows: Table, results: dict[str, Any]) -> None:
    trickle, burst = results["stream"]["trickle"], results["stream"]["burst"]
    rows.add_row(f"[bold]The stream[/bold], frame to row, {trickle['bars']} bars of one symbol")
    for place, said in (("raw", "in RAW"), ("view", "in the live view")):
        _at_most(rows, f"{said}, p50", trickle[f"{place}_p50"], 3.0, "s")
        _at_most(rows, f"{said}, p99", trickle[f"{place}_p99"], 8.0, "s")
    rows.add_row(
        f"[bold]{burst['symbols']:,} symbols[/bold], a minute bar each in one frame, {burst['minutes']} minutes"
    )
    _at_most(rows, f"joined, {burst['missed']:,} bars by REST in RAW", burst["joined"], burst["target_join"], "s")
    _at_most(rows, "all of a minute in RAW, the slowest", burst["seconds"], burst["target_seconds"], "s")
    _at_most(rows, "the stream service's memory at most", burst["peak_rss"] / MIB, burst["target_rss"] / MIB, "MiB")


def _dashboards(rows: Table, results: dict[str, Any]) -> None:
    found = results["dashboards"]
    scale = f"{found['symbols']} symbols x {found['days']} days"
    rows.add_row(f"[bold]Dashboards[/bold] over {scale}, medians of {found['runs']} runs")
    for chart, seconds in sorted(found["charts"].items(), key=lambda item: -item[1]):
        _at_most(rows, f"  {chart}", seconds, found["target_chart_seconds"], "s")
    _at_most(rows, "the Market page until all is drawn", found["page"], found["target_page_seconds"], "s")


def _daily_history(rows: Table, results: dict[str, Any]) -> None:
    found = results["daily_history"]
    history, day = found["history"], found["day"]
    symbols, more = found["symbols"]
    rows.add_row(f"[bold]{symbols:,} daily stocks x {found['sessions']:,} sessions[/bold], {history['bars']:,} bars")
    # The targets are those of ten years.
    seconds = _at_most if found["is_full"] else (lambda rows, what, taken, *_: rows.add_row(what, f"{taken:.3g} s"))
    seconds(rows, "API to marts in one run", history["seconds"], found["target_seconds"], "s")
    _steps(rows, history)
    _processes(rows, history["processes"], found["target_rss"])
    rows.add_row(f"[bold]A day of {more:,} daily stocks[/bold] on that history")
    seconds(rows, "from launch to the end of dbt", day["seconds"], found["target_day_seconds"], "s")
    _steps(rows, day)
    _processes(rows, day["processes"], found["target_rss"])


def _steps(rows: Table, run: dict[str, Any]) -> None:
    for kind in ("steps", "hops"):
        for name, seconds in run["run"][kind].items():
            rows.add_row(f"  {name}", f"{seconds:.1f} s")


def _executors(rows: Table, results: dict[str, Any]) -> None:
    found = results["executors"]
    rows.add_row(f"[bold]The Spark hop by executors[/bold] of a core each, {found['partitions']} Kafka partitions")
    for count, run in found["executors"].items():
        rows.add_row(f"  {count}", f"{run['seconds']:.1f} s  {run['messages_per_second']:>9,.0f} messages/s")
        for name, did in run["each"].items():
            tasks = f"{did['tasks']:.0f} tasks, {did['messages']:,.0f} messages, {did['seconds']:.1f} s"
            rows.add_row(f"    executor {name}", tasks)
    rows.add_row("two, to one", f"{found['speed_up']:.2f} x")


def _event_log(rows: Table, results: dict[str, Any]) -> None:
    found = results["event_log"]
    storages = found["storages"]
    own = next(iter(storages.values()))
    rows.add_row(
        f"[bold]Event log[/bold], {found['assets']} assets x {found['days']} days, medians of {found['runs']} runs"
    )
    for name, figures in storages.items():
        beside = f"{figures['seconds'] / own['seconds']:.1f} x" if figures is not own else ""
        rows.add_row(f"  {name}", f"{figures['seconds']:.1f} s  {figures['megabytes']:,.0f} MB", "", beside)


def _research(rows: Table, results: dict[str, Any]) -> None:
    found = results["research"]
    rows.add_row(f"[bold]{found['bars']:,} bars read[/bold] into an Arrow table, medians of {found['runs']} runs")
    for reader, seconds in found["seconds"].items():
        rows.add_row(f"  {reader}", f"{seconds:.2f} s  {found['bars'] / seconds:>10,.0f} bars/s")
    _at_most(rows, "MarketData to DuckDB on Parquet", found["sorted_ratio"], found["target_ratio"], "x")
    _at_most(rows, "the same, unsorted", found["unsorted_ratio"], found["target_ratio"], "x")


def _scale(rows: Table, results: dict[str, Any]) -> None:
    found = results["scale"]
    few, many, long = found["bars"]
    rows.add_row(
        "[bold]dbt over many symbols and long histories[/bold], 15-minute bars, from launch to end, with its tests"
    )
    symbols, sessions = found["symbols"], found["sessions"]
    for place, (bars, of, over) in enumerate(
        ((few, symbols[0], sessions[0]), (many, symbols[1], sessions[0]), (long, symbols[0], sessions[1]))
    ):
        what = f"{of:,} symbols x {over} sessions, {bars:,} bars"
        if place == 1:
            _at_most(rows, f"  the first build of {what}", found["first"][place], found["target_first"], "s")
        else:
            rows.add_row(f"  the first build of {what}", f"{found['first'][place]:.1f} s")
        rows.add_row("  a session's increment on it", f"{found['increment'][place]:.1f} s")
    _at_most(rows, "symbols x 10: the first build", found["symbols_ratio"], found["target_symbols_ratio"], "x")
    _at_most(rows, "history x 10: an increment", found["history_ratio"], found["target_history_ratio"], "x")


def _at_most(rows: Table, what: str, value: float, limit: float, unit: str) -> None:
    rows.add_row(what, f"{value:.3g} {unit}".strip(), f"<= {limit:g} {unit}".strip(), _mark(value <= limit))


def _at_least(rows: Table, what: str, value: float, limit: float, unit: str) -> None:
    digits = ",.0f" if value >= 100 else ".2f"
    rows.add_row(what, f"{value:{digits}} {unit}", f">= {limit:,g} {unit}", _mark(value >= limit))


def _mark(met: bool) -> str:
    return "[green]met[/green]" if met else "[red]missed[/red]"
