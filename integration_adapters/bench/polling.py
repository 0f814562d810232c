"""The pull road against its rivals: same records, same PostgreSQL, one after the other, round after round."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from integration_adapters.bench import dlt_merge, records, report, rival_environment, watched
from integration_adapters.bench.polling_report import show
from integration_adapters.bench.stage import START_SECONDS, Stage
from integration_adapters.bench.throughput import spread
from integration_adapters.embedded import free_port

RECORDS, ROUNDS = 50_000, 3
QUICK_RECORDS, QUICK_ROUNDS = 5_000, 1
_OURS = "integration_adapters.bench.poll_road"
_PLAIN = "integration_adapters.bench.plain_loop"
_QUIET = "integration_adapters.bench.quiet_poll"
_MAPPING = "integration_adapters.bench.mapping"
_DAY = "integration_adapters.bench.quiet_day"
ROAD, BESIDE = "road", "road, mapped meanwhile"


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about the pull road, printed as it is found."""
    number = options.records or (QUICK_RECORDS if options.quick else RECORDS)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    dlt = rival_environment.python()
    directory.chmod(0o755)
    found: dict[str, Any] = {"machine": report.machine(), "records": number}
    with Stage(directory, doors=0) as stage:
        # The budget is asked as ever, and never short; nor are logs of ordinary runs measured.
        stage.environment |= {"OUTBOUND_ALLOWED": "127.0.0.1", "POLLS_PER_MINUTE": "1000000", "LOG_LEVEL": "WARNING"}
        address = _serve(stage, number)
        found["ways"] = _rounds(stage, _ways(stage, address, number, dlt), rounds)
        show("ways", found)
        found["quiet"] = _quiet(stage, address, number)
        show("quiet", found)
        _empty(stage)
        found["day"] = json.loads(stage.run_module(_DAY))
        show("day", found)
    return found


def _serve(stage: Stage, number: int) -> str:
    port = free_port()
    stage.start("api", sys.executable, "-m", "integration_adapters.bench.record_api", str(port), str(number))
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}{records.PATH}?per_page=1", timeout=5):  # noqa: S310
                return address
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _ways(stage: Stage, address: str, number: int, dlt: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    def plain(way: str) -> dict[str, Any]:
        words = (sys.executable, "-m", _PLAIN, way, f"{address}{records.PATH}", stage.database_url)
        return watched.run(words, stage.environment)

    def merged() -> dict[str, Any]:
        name = conninfo_to_dict(stage.database_url)
        # dlt insists on a password, which nobody asks for.
        database = f"postgresql://{name['user']}:none@localhost/{name['dbname']}?host={name['host']}"
        own = str(stage.directory / f"dlt-{time.monotonic_ns()}")
        words = (str(dlt), dlt_merge.__file__, address, records.PATH.lstrip("/"), database, own)
        return watched.run(words, {**stage.environment, **dlt_merge.SETTINGS})

    def road(then: str = "map") -> dict[str, Any]:
        return watched.run((sys.executable, "-m", _OURS, address, str(number), then), stage.environment)

    def beside_mapping() -> dict[str, Any]:
        words = (sys.executable, "-m", _MAPPING, str(number))
        with subprocess.Popen(words, env=stage.environment, stdout=subprocess.PIPE, text=True) as mapper:  # noqa: S603
            if mapper.stdout is None or mapper.stdout.readline() != "ready\n":
                raise RuntimeError("The mapping worker did not start.")
            done = road("read")
            mapped = json.loads(mapper.stdout.read())
        return {**done, "seconds": mapped["ended_at"] - done["began_at"]}

    return {
        ROAD: road,
        BESIDE: beside_mapping,
        "plain, executemany": lambda: plain("executemany"),
        "plain, COPY": lambda: plain("copy"),
        "dlt": merged,
    }


def _rounds(stage: Stage, ways: dict[str, Callable[[], dict[str, Any]]], rounds: int) -> dict[str, Any]:
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            _empty(stage)
            before = stage.processor_seconds()
            done = way()
            done["postgres_processor_seconds"] = stage.processor_seconds() - before
            measured[name].append(done)
    return {"rounds": measured, **_ratios(measured)}


def _empty(stage: Stage) -> None:
    """No round finds what another left, nor pays for it."""
    with stage.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS plain_records")
        connection.execute("TRUNCATE integration_connections CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS dlt_records CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS dlt_records_staging CASCADE")
    stage.forget()


def _ratios(measured: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Of neighbouring rounds, so that a slow minute of the machine counts on both sides."""
    rates = {name: [one["records"] / one["seconds"] for one in rounds] for name, rounds in measured.items()}
    ours = {
        "stored": rates[ROAD],
        "mapped_meanwhile": rates[BESIDE],
        "mapped_after": [
            one["records"] / (one["seconds"] + one["reading_seconds"] + one["normalising_seconds"])
            for one in measured[ROAD]
        ],
    }
    rivals = {
        # The better of the two, whichever that is on this machine.
        "plain": [max(pair) for pair in zip(rates["plain, executemany"], rates["plain, COPY"], strict=True)],
        "dlt": rates["dlt"],
    }
    return {
        "per_second": {name: median(one) for name, one in ours.items()},
        "ratios": {
            name: {rival: spread([a / b for a, b in zip(one, theirs, strict=True)]) for rival, theirs in rivals.items()}
            for name, one in ours.items()
        },
    }


def _quiet(stage: Stage, address: str, number: int) -> dict[str, Any]:
    """Once for the time, and once with counting wires between."""
    found: dict[str, Any] = {}
    for what in ("time", "count"):
        _empty(stage)
        found |= json.loads(stage.run_module(_QUIET, what, address, str(number)))
    return found
