import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from integration_adapters.management.sandbox_command import chosen_slugs, refuse_in_production
from integration_adapters.sandbox.driver import Driver
from integration_adapters.sandbox.faults import Switchboard
from integration_adapters.sandbox.server import Sandbox, serve
from integration_adapters.sandbox.sink import Sink
from integration_adapters.sandbox.worlds import build


class Command(BaseCommand):
    help = "Serve simulated providers and a sink for signals, and let things happen. For development."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8100)
        parser.add_argument("--target", default=settings.PUBLIC_BASE_URL, help="where webhooks are sent")
        parser.add_argument("--providers", default="", help="slugs, comma-separated; default: all that are simulated")
        parser.add_argument("--interval", type=float, default=3.0, help="seconds between happenings; 0: none happen")
        parser.add_argument("--store", type=Path, default=settings.VAR_DIR / "sandbox.sqlite3", help="file of the sink")
        parser.add_argument("--no-faults", action="store_true", help="simulated providers never fail by themselves")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_in_production()
        slugs = chosen_slugs(options["providers"])
        worlds = build(slugs, faults=not options["no_faults"])
        switchboard = Switchboard(slugs)
        server = serve(
            Sandbox(worlds, Sink(options["store"], switchboard), switchboard), options["host"], options["port"]
        )
        threading.Thread(target=server.serve_forever, daemon=True, name="http").start()
        self._say(f"simulating {', '.join(slugs) or 'no provider'} at http://{options['host']}:{options['port']}/")
        driver = Driver(worlds, options["target"], self._say) if worlds and options["interval"] > 0 else None
        while True:
            time.sleep(options["interval"] or 3600)
            if driver is not None:
                driver.step()

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
