"""The published document of commands, made from code."""

from __future__ import annotations

from providers import registry
from providers.canonical.action_types import PAYLOAD_FIELDS, TARGET_FIELDS, ActionType
from providers.spi import Adapter

PATH = "docs/actions.md"

_INTRODUCTION = """\
# Actions

Made from `providers/canonical/` and the adapters by `./script/manage export_actions`; do not edit by hand.

A command is a canonical type with a target and a payload, run by `POST /internal/integrations/actions/execute`. The
exact JSON Schemas of a provider, narrowed to what it takes, are in `GET /v1/integrations/providers/{provider_id}` under
`actions`. A field a provider does not take is refused, never dropped. Texts are Markdown.

*One effect* says what keeps a command that is tried twice from being done twice, and what happens where nobody knows
whether it was done:

| means | how |
|---|---|
| `provider_key` | the provider takes a key with the request and remembers it |
| `client_id` | we choose the id of what is made; the provider refuses the second |
| `natural_key` | what is asked for is a state or has a name; asking again changes nothing |
| `marker` | a hidden mark is looked for, and it is sent again only when it would show by now |
| `unknowable` | nothing tells: it needs a person |
"""


def documents() -> dict[str, str]:
    """Path below the project's root to content."""
    return {PATH: _catalogue()}


def _catalogue() -> str:
    lines = [_INTRODUCTION, "## Commands", "", "| type | meaning | target | payload |", "|---|---|---|---|"]
    lines += [
        f"| `{kind.value}` | {kind.meaning} | {_fields(kind.target)} | {_fields(kind.payload)} |" for kind in ActionType
    ]
    lines += ["", "A question mark: may be left out.", "", "## Who takes what", ""]
    for slug in registry.slugs():
        adapter = registry.get(slug)
        if adapter.actions and not adapter.development_only:
            lines += _section(adapter)
    lines += ["## Fields", "", "| field | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {field['description']} |" for name, field in {**TARGET_FIELDS, **PAYLOAD_FIELDS}.items()]
    return "\n".join(lines) + "\n"


def _section(adapter: Adapter) -> list[str]:
    lines = [f"### {adapter.label}", "", "| type | target | payload | one effect | needs |", "|---|---|---|---|---|"]
    for action in adapter.actions:
        target, payload = (
            {name: name in schema["required"] for name in schema["properties"]}
            for schema in (action.target_schema, action.payload_schema)
        )
        needs = "; ".join(action.permissions)
        lines.append(
            f"| `{action.type.value}` | {_fields(target)} | {_fields(payload)} | {action.one_effect.value} | {needs} |"
        )
    notes = [f"- `{action.type.value}`: {action.notes}" for action in adapter.actions if action.notes]
    return [*lines, "", *notes, *([""] if notes else [])]


def _fields(fields: dict[str, bool]) -> str:
    return ", ".join(f"`{name}`" if needed else f"`{name}`?" for name, needed in fields.items())
