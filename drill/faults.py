"""The faults: how each is made, which alert it fires, how it is fixed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psutil
import requests

from crypto_platform.dagster_instance.switch import switch
from crypto_platform.sandbox.dagster import code_server_answers
from crypto_platform.sandbox.services import SERVICES
from crypto_platform.sandbox.supervisord import Supervisord
from crypto_platform.settings import Settings
from drill.dagster import backfill, ended, launch, worker
from drill.definitions import JOB, LEDGER, PULSE, PULSE_LASTS, SENSOR, fault_file

# Until a run, a worker or a program of the drill counts as stuck; the kind that waited for it is then a failed one.
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    `fingerprint` is how that of its alert begins. `fire` breaks it and returns since when it is broken (seconds since
    1970), None where Dagster's record says so; `recover` fixes it and returns when.
    """

    name: str
    fingerprint: str
    fire: Callable[[], float | None]
    recover: Callable[[], float]


class Faults:
    """Every kind, on the embedded default of the settings."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, began: float) -> None:
        self._settings = settings
        self._instance = instance
        self._began = began
        self._yesterday = datetime.now(UTC).date() - timedelta(days=1)
        self._runs: dict[str, str] = {}
        fault_file(settings, "").mkdir(parents=True, exist_ok=True)

    def of_dagster(self) -> list[Fault]:
        """Those that need none of the pipeline's systems, all at once."""
        day = self._day
        ledger = LEDGER.to_user_string()
        return [
            Fault("a failing run", f"run:{ledger}:{day(1)}:", lambda: self._run("run", day(1)), self._again),
            Fault(
                "a failed blocking check",
                f"check:{ledger}:adds_up:{day(2)}",
                lambda: self._run("blocking check", day(2)),
                lambda: self._run_well("blocking check", day(2)),
            ),
            Fault(
                "a failed check that blocks nothing",
                f"check:{ledger}:looks_usual:{day(3)}",
                lambda: self._run("check", day(3)),
                lambda: self._run_well("check", day(3)),
            ),
            Fault("a failed backfill", "backfill:", self._break_backfill, self._recover_backfill),
            Fault("a killed run worker", f"run:{JOB}:", self._kill_worker, lambda: self._clear("worker")),
            Fault(
                "a sensor that fails", f"sensor:{SENSOR}", lambda: self._set("sensor"), lambda: self._clear("sensor")
            ),
            Fault("a schedule that is switched off", "schedule:crypto_schedule", self._switch_off, self._switch_on),
            Fault("an asset late by its policy", "freshness:drill", self._let_age, self._make_anew),
        ]

    def of_the_pipeline(self) -> list[Fault]:
        """A day that is missing and a bar that is wrong; one run brings the day, with the bar."""
        bad = f"check:raw/crypto_bars:no_rejected_messages:{self._yesterday}"
        return [
            Fault("a day made late", "check:marts/fct_bars:crypto_is_fresh", lambda: self._began, self._bring_the_day),
            Fault("a corrupted bar", bad, lambda: None, self._bring_it_well),
        ]

    def of_processes(self) -> list[list[Fault]]:
        """Dagster's own programs; those of one list at once."""
        return [
            [
                Fault(
                    "a stopped daemon", "process:daemon", lambda: self._stop("daemon"), lambda: self._restart("daemon")
                ),
                Fault(
                    "a stopped web server",
                    "process:dagster",
                    lambda: self._stop("dagster"),
                    lambda: self._restart("dagster"),
                ),
            ],
            [Fault("a killed code server", "process:code", self._kill_code, self._await_code)],
        ]

    def _day(self, back: int) -> date:
        return self._yesterday - timedelta(days=back)

    def _set(self, name: str) -> float:
        fault_file(self._settings, name).touch()
        return time.time()

    def _clear(self, name: str) -> float:
        fault_file(self._settings, name).unlink()
        return time.time()

    def _run(self, name: str, day: date) -> None:
        self._set(f"{name} {day}")
        self._runs[name] = launch(self._settings, assets=[LEDGER], day=day)

    def _run_well(self, name: str, day: date) -> float:
        self._clear(f"{name} {day}")
        return ended(self._instance, launch(self._settings, assets=[LEDGER], day=day), PATIENCE_SECONDS)

    def _again(self) -> float:
        return self._run_well("run", self._day(1))

    def _break_backfill(self) -> None:
        self._set(f"run {self._day(5)}")
        backfill(self._settings, [LEDGER], self._day(6), days=2)

    def _recover_backfill(self) -> float:
        self._clear(f"run {self._day(5)}")
        number = backfill(self._settings, [LEDGER], self._day(6), days=2)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            runs = self._instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": number}), limit=1)
            if runs:
                return ended(self._instance, runs[0].run_id, PATIENCE_SECONDS)
            time.sleep(0.5)
        raise TimeoutError(f"backfill {number} has started no run")

    def _kill_worker(self) -> float:
        self._set("worker")
        run = launch(self._settings, job=JOB)
        os.kill(worker(self._instance, run, PATIENCE_SECONDS), signal.SIGKILL)
        return time.time()

    def _switch_off(self) -> float:
        switch(self._settings, "crypto_schedule", on=False)
        return time.time()

    def _switch_on(self) -> float:
        return self._command("enable", "crypto_schedule")

    def _let_age(self) -> float:
        made = ended(self._instance, launch(self._settings, assets=[PULSE]), PATIENCE_SECONDS)
        return made + PULSE_LASTS.total_seconds()

    def _make_anew(self) -> float:
        return ended(self._instance, launch(self._settings, assets=[PULSE]), PATIENCE_SECONDS)

    def _bring_the_day(self) -> float:
        start = datetime.combine(self._yesterday, datetime.min.time(), UTC)
        match = {"asset_class": "crypto", "start": start.isoformat(), "end": (start + timedelta(days=1)).isoformat()}
        self._source("POST", {"kind": "inverted", "match": match})
        return ended(self._instance, launch(self._settings, "crypto", day=self._yesterday), PATIENCE_SECONDS)

    def _bring_it_well(self) -> float:
        self._source("DELETE")
        return ended(self._instance, launch(self._settings, "crypto", day=self._yesterday), PATIENCE_SECONDS)

    def _source(self, method: str, body: object = None) -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.request(
                method, f"{self._settings.alpaca_url}/sandbox/faults", json=body, timeout=10
            ).raise_for_status()

    def _stop(self, name: str) -> float:
        supervisord = Supervisord.find(self._settings)
        assert supervisord  # noqa: S101
        supervisord.rpc.stopProcess(SERVICES[name].program)
        return time.time()

    def _restart(self, name: str) -> float:
        return self._command("restart", name)

    def _kill_code(self) -> float:
        supervisord = Supervisord.find(self._settings)
        assert supervisord  # noqa: S101
        parent = psutil.Process(supervisord.info(SERVICES["code"])["pid"])
        (server,) = (p for p in parent.children() if "grpc" in p.cmdline())
        server.kill()
        return time.time()

    def _await_code(self) -> float:
        """Supervisord starts it again by itself."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not code_server_answers(self._settings):
            if time.monotonic() > deadline:
                raise TimeoutError("the code server has not come back")
            time.sleep(0.1)
        return time.time()

    def _command(self, *arguments: str) -> float:
        """Run the command that the alert names."""
        command = [sys.executable, "-m", "crypto_platform.cli.app", *arguments]
        environment = {**os.environ, **self._settings.environment()}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_SECONDS)
        return time.time()
