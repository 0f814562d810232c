"""Actions: what was asked of a provider, what came of it, and what a person decides where nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from actions import review
from actions.forms import ActionForm, FoundForm, ReasonForm
from actions.models import ActionStatus, NormalisedAction
from connections.console import OfConnection
from connections.errors import ServiceError
from providers.canonical.action_types import ActionType
from providers.console.base import ConsoleAdmin, actor_of
from providers.console.display import EMPTY, age, column, error_line, json_block, label, moment, text_block
from providers.console.filters import (
    ChoiceFilter,
    ConnectionFilter,
    MadeBetweenFilter,
    MadeWithinFilter,
    ProviderFilter,
    TenantFilter,
)
from providers.console.verbs import verb
from providers.redaction import redact

STATUS_COLOURS: dict[str, str] = {
    ActionStatus.PENDING: "info",
    ActionStatus.PROCESSING: "info",
    ActionStatus.COMPLETED: "success",
    ActionStatus.FAILED: "danger",
    ActionStatus.NEEDS_REVIEW: "warning",
}


EVENT_COLOURS = {
    "completed": "success",
    "failed": "danger",
    "gave up": "danger",
    "needs review": "warning",
    "reviewed": "info",
}


class TypeFilter(ChoiceFilter):
    title = "command"
    parameter_name = "canonical_type"
    column = "canonical_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.value, kind.value) for kind in ActionType]


class ActionStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    column = "status"
    options = ActionStatus


def _needs_review(action: NormalisedAction) -> bool:
    return action.status == ActionStatus.NEEDS_REVIEW


def _may_be_tried_again(action: NormalisedAction) -> bool:
    return action.status in (ActionStatus.FAILED, ActionStatus.NEEDS_REVIEW)


@admin.register(NormalisedAction)
class ActionAdmin(OfConnection, ConsoleAdmin):
    list_display = ("canonical_type", "status_label", "connection_link", "tenant_id", "attempts", "trouble", "asked")
    list_select_related = ("connection",)
    list_filter = (
        ActionStatusFilter,
        TypeFilter,
        ProviderFilter,
        TenantFilter,
        ConnectionFilter,
        MadeWithinFilter,
        ("created_at", MadeBetweenFilter),
    )
    search_fields = ("=action_id", "=connection", "=correlation_id", "=idempotency_key")
    search_help_text = "Action id, connection id, correlation id or idempotency key, whole."
    refusals = (*ConsoleAdmin.refusals, ServiceError)
    autocomplete_fields = ("connection",)
    actions = ("try_again",)
    actions_row = ("try_again",)
    actions_detail = ("it_was_done", "it_was_not_done", "try_again")
    add_fieldsets = ((None, {"fields": ("connection", "canonical_type", "target", "payload", "idempotency_key")}),)
    fieldsets = (
        (None, {"fields": (("canonical_type", "status_label"), ("connection_link", "tenant_id", "provider"))}),
        (
            "Outcome",
            {
                "fields": (
                    ("asked_exactly", "requested_by", "completed"),
                    ("attempts", "due", "sent"),
                    "result_link",
                    "result_json",
                    "error_text",
                    "advice",
                )
            },
        ),
        ("What was tried", {"fields": ("story",)}),
        ("What was asked, redacted", {"fields": ("target_json", "payload_json")}),
        ("Keys", {"fields": ("action_id", "idempotency_key", "correlation_id", "reviewed_by")}),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        form = super().get_form(request, obj, change=change, **{**kwargs, "form": ActionForm})
        return type(form.__name__, (form,), {"actor": actor_of(request)})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else flatten_fieldsets(self.fieldsets)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing of an action is edited; a person decides what came of it, or has it tried again."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's service has saved."""

    @verb(
        "It was done",
        icon="check",
        question="You have looked at the provider and what was asked for is there. The action is completed; nothing is "
        "sent.",
        available=_needs_review,
        form=FoundForm,
    )
    def it_was_done(
        self, request: HttpRequest, action: NormalisedAction, *, reason: str, reference: str, url: str
    ) -> str:
        review.it_was_done(action.pk, actor=actor_of(request), reason=reason, reference=reference, url=url)
        return "The action is completed."

    @verb(
        "It was not done",
        icon="close",
        question="You have looked at the provider and it is not there, and it is to stay so. The action has failed.",
        available=_needs_review,
        form=ReasonForm,
    )
    def it_was_not_done(self, request: HttpRequest, action: NormalisedAction, *, reason: str) -> str:
        review.it_was_not_done(action.pk, actor=actor_of(request), reason=reason)
        return "The action has failed."

    @verb(
        "Try again",
        icon="replay",
        question="It is sent anew. What may have been done is looked for first; where the provider lets nobody look, "
        "this says that it was not done: look at the provider yourself, or there may be two.",
        available=_may_be_tried_again,
        danger=True,
        form=ReasonForm,
    )
    def try_again(self, request: HttpRequest, action: NormalisedAction, *, reason: str) -> str:
        review.try_again(action.pk, actor=actor_of(request), reason=reason)
        return "The action is due again."

    @column("status")
    def status_label(self, action: NormalisedAction) -> SafeString:
        return label(action.get_status_display(), STATUS_COLOURS[action.status])

    @column("last error")
    def trouble(self, action: NormalisedAction) -> str | SafeString:
        return error_line(action.error)

    @column("due again")
    def due(self, action: NormalisedAction) -> str | SafeString:
        return age(action.next_attempt_at)

    @column("last sent")
    def sent(self, action: NormalisedAction) -> str | SafeString:
        return moment(action.sent_at)

    @column("what to do")
    def advice(self, action: NormalisedAction) -> str:
        if action.status == ActionStatus.NEEDS_REVIEW:
            return (
                "A request was sent and nobody knows whether it took effect. Look at the provider, then say above what "
                "you found."
            )
        if action.status == ActionStatus.FAILED:
            return "It was not done. Mend the cause and try again, or leave it."
        return EMPTY

    @column("what was tried")
    def story(self, action: NormalisedAction) -> str | SafeString:
        """Attempt by attempt, oldest first."""
        if not action.evidence:
            return EMPTY
        return format_html_join("", '<p class="console-line">{} {} {}</p>', map(_line, action.evidence))

    @column("asked")
    def asked(self, action: NormalisedAction) -> str | SafeString:
        return age(action.created_at)

    @column("asked")
    def asked_exactly(self, action: NormalisedAction) -> str | SafeString:
        return moment(action.created_at)

    @column("completed")
    def completed(self, action: NormalisedAction) -> str | SafeString:
        return moment(action.completed_at)

    @column("target")
    def target_json(self, action: NormalisedAction) -> str | SafeString:
        return json_block(redact(action.target))

    @column("payload")
    def payload_json(self, action: NormalisedAction) -> str | SafeString:
        return json_block(redact(action.payload))

    @column("result")
    def result_json(self, action: NormalisedAction) -> str | SafeString:
        return json_block(redact(action.result))

    @column("made at the provider")
    def result_link(self, action: NormalisedAction) -> str | SafeString:
        url = str(action.result.get("url") or "")
        if not url.startswith(("https://", "http://")):
            return EMPTY
        return format_html('<a class="console-link" href="{0}" rel="noreferrer noopener" target="_blank">{0}</a>', url)

    @column("error")
    def error_text(self, action: NormalisedAction) -> str | SafeString:
        return text_block(action.error)


def _line(entry: Mapping[str, Any]) -> tuple[str, SafeString, str]:
    """One entry of the evidence: ``09:30:12, attempt 2``, a label, and what happened."""
    event, at = str(entry.get("event", "")), str(entry.get("at", ""))[:19].replace("T", " ")
    status = f" (HTTP {entry['status']})" if entry.get("status") else ""
    place = f"{at}, attempt {entry.get('attempt')}"
    return place, label(event, EVENT_COLOURS.get(event, "")), f"{entry.get('message')}{status}"
