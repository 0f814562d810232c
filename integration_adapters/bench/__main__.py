"""``script/bench``: figures of this service on this machine. Starts what it needs, and ends it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from integration_adapters import web
from integration_adapters.bench import webhooks


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="ia-bench-", ignore_cleanup_errors=True) as directory:
        found = webhooks.measure(Path(directory), options)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./script/bench", description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True)
    one = subjects.add_parser("webhooks", help="the road from a signed request to a delivered signal")
    one.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    one.add_argument("--seconds", type=float, default=5.0, help="of each measured round (default 5)")
    one.add_argument("--rounds", type=int, default=5, help="of road, bare view and pgbench each (default 5)")
    one.add_argument("--size", type=int, action="append", help="bytes of a body (default 8000 and 25000); repeatable")
    one.add_argument("--long", action="store_true", help="watch memory over 200 000 requests instead of 20 000")
    one.add_argument("--only", choices=webhooks.PARTS, action="append", help="leave the other parts out; repeatable")
    one.add_argument("--workers", type=int, default=web.WORKERS, help="web processes")
    one.add_argument("--threads", type=int, default=web.THREADS, help="threads of each web process")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
