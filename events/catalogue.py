"""The published documents made from code: the envelope's schema and the catalogue of signal types."""

from __future__ import annotations

import json

from events.envelope import SCHEMA_VERSION, envelope_schema
from providers.canonical import FIELDS, SignalType

SCHEMA_PATH = f"docs/schemas/signal-envelope-{SCHEMA_VERSION}.json"
CATALOGUE_PATH = "docs/signals.md"


def documents() -> dict[str, str]:
    """Path below the project's root to content."""
    return {SCHEMA_PATH: json.dumps(envelope_schema(), indent=2) + "\n", CATALOGUE_PATH: _catalogue()}


_INTRODUCTION = """\
# Signal types

Made from `providers/canonical/` by `./script/manage export_catalogue`; do not edit by hand.

Every signal travels in a SignalEnvelope, schema version {version}
([JSON Schema](schemas/signal-envelope-{version}.json)). `signal_type` is one of those below. Beside the fields
listed, every payload has `provider_metadata`, `canonical_keys`, `event_name`, `severity`, `tags` and
`attributes`. A field the provider does not give is left out.
"""


def _catalogue() -> str:
    lines = [_INTRODUCTION.format(version=SCHEMA_VERSION)]
    lines += ["| signal_type | meaning | severity | fields |", "|---|---|---|---|"]
    for kind in SignalType:
        fields = ", ".join(f"`{name}`" for name in kind.fields)
        lines.append(f"| `{kind.value}` | {kind.meaning} | {kind.severity.value} | {fields} |")
    lines += ["", "## Fields", "", "| field | type | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {meaning} |" for name, (kind, meaning) in FIELDS.items()]
    return "\n".join(lines) + "\n"
