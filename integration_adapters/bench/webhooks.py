"""Everything measured about the push road, part by part."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integration_adapters.bench import report, throughput
from integration_adapters.bench.stage import Stage

PARTS = ("throughput",)


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the parts that were asked for, print each as it is done, and return all figures."""
    found: dict[str, Any] = {"machine": report.machine()}
    parts: dict[str, Callable[[Stage], dict[str, Any]]] = {
        "throughput": lambda stage: throughput.compare(stage, seconds=options.seconds, rounds=options.rounds),
    }
    for name in options.only or PARTS:
        with Stage(_empty(directory / name), workers=options.workers, threads=options.threads) as stage:
            found[name] = parts[name](stage)
        report.show(name, found[name])
    return found


def _empty(directory: Path) -> Path:
    directory.mkdir()
    # PostgreSQL runs as another user when we are root, and must reach its data.
    for place in (directory, directory.parent):
        place.chmod(0o755)
    return directory
