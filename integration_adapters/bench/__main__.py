"""``script/bench``: figures of this service on this machine. Starts what it needs, and ends it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from integration_adapters import web
from integration_adapters.bench import actions, polling, scheduler, webhooks


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="ia-bench-", ignore_cleanup_errors=True) as directory:
        found = options.measure(Path(directory), options)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./script/bench", description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True)
    _add_webhooks(subjects.add_parser("webhooks", help="the road from a signed request to a delivered signal"))
    _add_polling(
        subjects.add_parser("polling", help="the road from a provider's list to events, against dlt and a loop")
    )
    _add_scheduler(subjects.add_parser("scheduler", help="beat's tick over very many connections"))
    subjects.add_parser("actions", help="what a synchronous action costs").set_defaults(measure=actions.measure)
    for one in subjects.choices.values():
        one.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    return parser.parse_args()


def _add_webhooks(one: argparse.ArgumentParser) -> None:
    one.set_defaults(measure=webhooks.measure)
    one.add_argument("--seconds", type=float, default=5.0, help="of each measured round (default 5)")
    one.add_argument("--rounds", type=int, default=5, help="of road, bare view and pgbench each (default 5)")
    one.add_argument("--size", type=int, action="append", help="bytes of a body (default 8000 and 25000); repeatable")
    one.add_argument("--long", action="store_true", help="watch memory over 200 000 requests instead of 20 000")
    one.add_argument("--only", choices=webhooks.PARTS, action="append", help="leave the other parts out; repeatable")
    one.add_argument("--workers", type=int, default=web.WORKERS, help="web processes")
    one.add_argument("--threads", type=int, default=web.THREADS, help="threads of each web process")


def _add_polling(one: argparse.ArgumentParser) -> None:
    one.set_defaults(measure=polling.measure)
    one.add_argument("--records", type=int, help=f"default {polling.RECORDS}")
    one.add_argument("--rounds", type=int, help=f"of every way (default {polling.ROUNDS})")
    one.add_argument("--quick", action="store_true", help="few records, one round: to see that it works")


def _add_scheduler(one: argparse.ArgumentParser) -> None:
    one.set_defaults(measure=scheduler.measure)
    one.add_argument("--rounds", type=int, default=scheduler.ROUNDS, help=f"default {scheduler.ROUNDS}")
    one.add_argument("--connections", type=int, action="append", help="how many (default 10000 and 100000); repeatable")


if __name__ == "__main__":
    sys.exit(main())
