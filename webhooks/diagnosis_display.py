"""A diagnosis as staff see it."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from providers.console.display import label
from webhooks.diagnosis import Diagnosis, State

COLOURS: dict[str, str] = {
    State.FAILING: "danger",
    State.ATTENTION: "warning",
    State.WAITING: "info",
    State.OFF: "",
    State.OK: "success",
}


def diagnosis_block(found: Diagnosis) -> SafeString:
    """State, what is the matter, what to do, and what else there is."""
    others = format_html_join("", "<li>{}</li>", ((other,) for other in found.others))
    return format_html(
        '<div class="console-diagnosis">{} <strong>{}</strong>{}{}</div>',
        label(found.state.label, COLOURS[found.state]),
        found.summary,
        format_html('<div class="console-muted">{}</div>', found.advice) if found.advice else "",
        format_html('<ul class="console-found">{}</ul>', others) if found.others else "",
    )
