"""Road, bare view and pgbench in turn, round after round: the machine may be noisy, but it is so for all three."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from integration_adapters.bench import pgbench, row
from integration_adapters.bench.load import Job, Sent
from integration_adapters.bench.payloads import SignedRequests
from integration_adapters.bench.stage import BARE, BARE_SECRET, Server, Stage

CONNECTIONS = 16
SIZES = (8_000, 25_000)
WARM_SECONDS = 1.0
WAYS = ("road", "bare", "pgbench", "pgbench, body as sent")
MEASURES = ("per_second", "p50", "p95", "p99", "web_cpu_ms", "postgres_cpu_ms")


@dataclass(frozen=True, slots=True)
class Way:
    """One of them, and how one round of it goes."""

    name: str
    run: Callable[[float], dict[str, float]]


def compare(stage: Stage, *, seconds: float, rounds: int, sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Medians and spread of every way and size, and the ratios the goals are about."""
    road = stage.serve()
    found: dict[str, Any] = {}
    for size in sizes:
        stage.forget()
        stage.send(Job(port=road.port, doors=stage.doors, size=size, connections=CONNECTIONS, count=500))
        stored = row.read(stage.database_url)
        ways = _ways(stage, road, stored, size)
        measured: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                stage.forget()
                measured[way.name].append(way.run(seconds))
        found[str(size)] = _summary(measured, stored)
    return found


def _ways(stage: Stage, road: Server, stored: dict[str, str | None], size: int) -> tuple[Way, ...]:
    statement = stage.directory / f"insert-{size}.sql"
    statement.write_text(row.insert(stored, {name: f"%({name})s" for name in row.OWN}))
    bare = stage.serve(BARE, BENCH_STATEMENT=str(statement), BENCH_SECRET=BARE_SECRET)
    # What the same row costs without our compression: more to send, to log and to store.
    as_sent = {**stored, "payload": "\\x" + b"".join(SignedRequests("", "", size).next()[1:]).hex()}
    return (
        Way("road", lambda seconds: _load(stage, road, stage.doors, size, seconds)),
        Way("bare", lambda seconds: _load(stage, bare, [("/bare", BARE_SECRET)], size, seconds)),
        Way("pgbench", lambda seconds: _insert(stage, stored, seconds)),
        Way("pgbench, body as sent", lambda seconds: _insert(stage, as_sent, seconds)),
    )


def _load(
    stage: Stage, server: Server, doors: Sequence[tuple[str, str]], size: int, seconds: float
) -> dict[str, float]:
    before = server.processor_seconds(), stage.processor_seconds()
    sent = stage.send(
        Job(
            port=server.port,
            doors=doors,
            size=size,
            connections=CONNECTIONS,
            warm_seconds=WARM_SECONDS,
            seconds=seconds,
        )
    )
    spent = server.processor_seconds() - before[0], stage.processor_seconds() - before[1]
    _insist_on_accepted(stage, sent)
    web_ms, postgres_ms = (1000 * part / sent.all_answered for part in spent)
    return {
        "per_second": sent.per_second,
        "p50": sent.p50,
        "p95": sent.p95,
        "p99": sent.p99,
        "web_cpu_ms": web_ms,
        "postgres_cpu_ms": postgres_ms,
    }


def _insist_on_accepted(stage: Stage, sent: Sent) -> None:
    """A fast refusal is no throughput, and every 202 must be a row."""
    if set(sent.statuses) != {"202"}:
        raise RuntimeError(f"Not everything was accepted: {sent.statuses}")
    with stage.connect() as connection:
        (rows,) = connection.execute(f"SELECT COUNT(*) FROM {row.TABLE}").fetchone() or (0,)  # noqa: S608
    if rows != sent.all_answered:
        raise RuntimeError(f"{sent.all_answered} were accepted, {rows} are stored.")


def _insert(stage: Stage, stored: dict[str, str | None], seconds: float) -> dict[str, float]:
    done = pgbench.run(stage.database_url, stored, stage.directory, seconds)
    return {"per_second": done.per_second, "p50": done.p50, "p95": done.p95, "p99": done.p99}


def _summary(measured: dict[str, list[dict[str, float]]], stored: dict[str, str | None]) -> dict[str, Any]:
    ways = {
        name: {
            **{measure: median(r[measure] for r in rounds) for measure in MEASURES if measure in rounds[0]},
            "rounds": rounds,
        }
        for name, rounds in measured.items()
    }
    road, bare, limit, as_sent = (measured[name] for name in WAYS)
    return {
        "payload_bytes": len(stored["payload"] or "") // 2 - 1,
        **ways,
        # Of neighbouring rounds, so that a slow minute of the machine counts on both sides.
        "road_to_bare": _ratio(road, bare, "per_second"),
        "road_to_pgbench": _ratio(road, limit, "per_second"),
        "road_to_pgbench_as_sent": _ratio(road, as_sent, "per_second"),
        "p95": spread([r["p95"] for r in road]),
        "p99_to_p50": spread([r["p99"] / r["p50"] for r in road]),
        "p99_to_bare": _ratio(road, bare, "p99"),
    }


def _ratio(one: list[dict[str, float]], other: list[dict[str, float]], measure: str) -> dict[str, float]:
    return spread([a[measure] / b[measure] for a, b in zip(one, other, strict=True)])


def spread(values: list[float]) -> dict[str, float]:
    """Of the figures of several rounds."""
    return {"median": median(values), "least": min(values), "most": max(values)}
