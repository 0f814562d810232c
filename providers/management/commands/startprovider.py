"""Writes a new provider: adapter folder, fixtures and test, all of it passing the contract suite."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from providers import registry
from providers.canonical import Category

SCAFFOLD = Path(__file__).parents[1] / "scaffold"
CODE = ("adapter.py", "webhook.py", "mapping.py", "polling.py", "simulator.py", "README.md")
FIXTURES = (
    "headers.json",
    "ORIGIN.md",
    "thing_created__plain.json",
    "thing_created__plain.golden.json",
    "unknown__event.json",
    "unknown__event.golden.json",
)


class Command(BaseCommand):
    help = "Write a new provider: adapter folder, fixtures and test. See ADDING_A_PROVIDER.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="Lower-case word; folder, registry key and part of the webhook URL for ever.")
        parser.add_argument("--label", default="", help="Name as the vendor writes it.")
        parser.add_argument("--category", default=Category.ISSUE_TRACKER.value, choices=[c.value for c in Category])
        parser.add_argument("--package", default="providers.adapters", help="Package the folder goes into.")
        parser.add_argument("--root", type=Path, default=settings.BASE_DIR, help="Where package and tests lie.")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, package, root = options["slug"], options["package"], options["root"]
        self._refuse_bad(slug, package)
        class_name = "".join(part.capitalize() for part in slug.split("_"))
        values = {
            "slug": slug,
            "label": options["label"] or class_name,
            "class_name": class_name,
            "category": Category(options["category"]).name,
            "package": package,
            "host": slug.replace("_", "-"),
        }
        folder = root.joinpath(*package.split("."), slug)
        fixtures = root / "tests" / "contract" / "fixtures" / slug
        test = root / "tests" / "unit" / "providers" / f"test_{slug}.py"
        for path in (folder / "adapter.py", fixtures, test):
            if path.exists():
                raise CommandError(f"{path} exists already; nothing was written.")
        written = {
            folder / "__init__.py": "",
            **{folder / name: _filled(name, values) for name in CODE},
            **{fixtures / name: _filled(name, values) for name in FIXTURES},
            test: _filled("test_provider.py", values),
        }
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            self.stdout.write(f"wrote {path}")
        dotted = f"{package}.{slug}.adapter.{class_name}Adapter"
        self.stdout.write("\nAdd this line to BUILT_IN in providers/registry.py:\n")
        self.stdout.write(f'    "{slug}": "{dotted}",\n')
        self.stdout.write(f"or, without touching this repository, set EXTRA_ADAPTERS={slug}={dotted}\n")

    def _refuse_bad(self, slug: str, package: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", slug) or len(slug) > 49 or keyword.iskeyword(slug):
            raise CommandError(f"{slug!r} is not a slug: lower-case letters, digits and single underscores.")
        if not all(part.isidentifier() for part in package.split(".")):
            raise CommandError(f"{package!r} is not a package.")
        if slug in {*registry.BUILT_IN, *settings.EXTRA_ADAPTERS}:
            raise CommandError(f"A provider {slug!r} is registered already.")


def _filled(name: str, values: dict[str, str]) -> str:
    return Template((SCAFFOLD / f"{name}.tmpl").read_text()).substitute(values)
