"""The Spark hop on one executor and on two, each a process with one core: its time, and what each of them did."""

import json
import os
import shlex
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.long_range import FIRST_DAY, long_range
from bench.systems import BenchError
from bench.usage import watching
from crypto_platform.connectors import spark as connector
from crypto_platform.connectors.kafka.admin import topic_state
from crypto_platform.ingestion.stage import Span, stage_messages
from crypto_platform.market.bars import BARS
from crypto_platform.sandbox import java, ports, spark
from crypto_platform.settings import LOOPBACK, Settings

DAYS = 100
COUNTS = (1, 2)
MEMORY_MIB = 1024


def executors(settings: Settings, symbols: int, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Medians of reading the same topic as often as there are runs, after a run that warms up."""
    tell(f"executors: publishing {symbols} symbols x {DAYS} days")
    long_range(settings, symbols, DAYS, FIRST_DAY, with_dbt=False)
    spans = {p: Span(0, end) for p, end in topic_state(settings, "crypto").end.items() if end}
    found = {}
    for count in COUNTS:
        tell(f"executors: {count}")
        with _cluster(settings, count) as (url, page, pid), watching({}, {"all": pid}) as usage:
            session = connector.session(settings.model_copy(update={"spark_remote": url}))
            seconds = []
            for number in range(runs + 1):
                folder = f"{settings.stage}/executors_{count}_{number}"
                staged = stage_messages(session, settings, BARS, BARS.topic("crypto"), spans, folder)
                seconds.append(staged.seconds)
            did = _did(page)
            session.stop()
        found[str(count)] = {
            "seconds": median(seconds[1:]),
            "messages": staged.messages,
            "messages_per_second": staged.messages / median(seconds[1:]),
            # Of the last of the runs.
            "each": did,
            "peak_rss": usage["all"].peak_rss,
        }
    return {
        "symbols": symbols,
        "partitions": len(spans),
        "executors": found,
        "speed_up": found["1"]["seconds"] / found["2"]["seconds"],
    }


@contextmanager
def _cluster(settings: Settings, count: int) -> Iterator[tuple[str, str, int]]:
    """The sandbox's Connect server with so many executors; its address, that of its page, and its pid."""
    port, page = ports.free_ports(2)
    folder = Path(settings.crypto_platform_home) / "executors"
    own = settings.model_copy(update={"sandbox_spark_port": port, "crypto_platform_home": folder})
    command = spark.command(own)
    command[command.index("local[*]")] = f"local-cluster[{count},1,{MEMORY_MIB}]"
    options = {"spark.ui.enabled": "true", "spark.ui.port": str(page), "spark.executor.memory": f"{MEMORY_MIB}m"}
    command[-1:-1] = [part for name, value in options.items() for part in ("--conf", f"{name}={value}")]
    environment = {
        **os.environ,
        # Executors run and leave their logs in it.
        "SPARK_HOME": str(_spark_home(folder)),
        "SPARK_LOCAL_IP": LOOPBACK,
        # `spark-class` sets it; without it no executor is started.
        "SPARK_SCALA_VERSION": "2.13",
        "JAVA_HOME": str(_java_home(settings, folder)),
    }
    with (folder / "spark.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        until = time.monotonic() + settings.sandbox_startup_timeout_seconds
        while not ports.takes_grpc(port):
            if server.poll() is not None or time.monotonic() > until:
                raise BenchError(f"Spark did not start: {(folder / 'spark.log').read_text()[-2000:]}")
            time.sleep(0.5)
        yield f"sc://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{page}/api/v1/applications", server.pid
    finally:
        server.terminate()
        server.wait()


def _spark_home(folder: Path) -> Path:
    home = folder / "spark"
    if not home.exists():
        home.mkdir(parents=True)
        (home / "jars").symlink_to(spark.spark_home() / "jars")
    return home


def _java_home(settings: Settings, folder: Path) -> Path:
    """The Java of executors: the sandbox's, without a module that Spark asks for and can do without."""
    program = folder / "java" / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
        "#!/bin/sh\nfor option; do\n  shift\n"
        '  [ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"\ndone\n'
        f'exec {shlex.quote(java.executable(settings))} "$@"\n'
    )
    program.chmod(0o700)
    return program.parents[1]


def _did(page: str) -> dict[str, dict[str, float]]:
    """Of the last job, by executor: its tasks, the messages it wrote, and seconds of its tasks."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str) -> Any:
        with opener.open(f"{page}{path}", timeout=10) as answer:
            return json.load(answer)

    application = ask("")[0]["id"]
    stage = max(ask(f"/{application}/stages?status=complete"), key=lambda s: s["stageId"])
    tasks = ask(f"/{application}/stages/{stage['stageId']}/{stage['attemptId']}/taskList?length=100000")
    found: dict[str, Counter[str]] = {}
    for task in tasks:
        counts = found.setdefault(task["executorId"], Counter())
        counts["tasks"] += 1
        counts["messages"] += task["taskMetrics"]["outputMetrics"]["recordsWritten"]
        counts["seconds"] += task["duration"] / 1000
    return {name: dict(counts) for name, counts in sorted(found.items())}
