"""What staff fill in about actions."""

from __future__ import annotations

from typing import Any, ClassVar

import uuid6
from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from actions.dispatcher import execute
from actions.intake import Wish
from actions.models import NormalisedAction
from connections.forms import IndentedJSONField
from connections.service_form import ServiceForm
from providers.canonical.action_types import ActionType


class ReasonForm(forms.Form):
    """Why a person decides so."""

    reason = forms.CharField(
        min_length=5,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="What you looked at. Kept as evidence.",
    )


class FoundForm(ReasonForm):
    """What a person found at the provider."""

    reference = forms.CharField(
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The provider's id of what was made, for the caller.",
    )
    url = forms.URLField(
        max_length=2000,
        required=False,
        assume_scheme="https",
        widget=UnfoldAdminTextInputWidget,
        help_text="Where it can be seen.",
    )


class ActionForm(ServiceForm):
    """A command of staff. The page is saved in one transaction, so a worker sends it, seconds later."""

    canonical_type = forms.ChoiceField(
        choices=[(kind.value, f"{kind.value}: {kind.meaning}") for kind in ActionType],
        label="Command",
        widget=UnfoldAdminSelectWidget,
        help_text="Not every provider takes every command; what it does not take is refused before anything is sent.",
    )
    target = IndentedJSONField(
        initial=dict,
        help_text='What it is done to, such as {"issue_key": "WEB-12"}. docs/actions.md has the fields.',
    )
    payload = IndentedJSONField(
        initial=dict,
        help_text='What is said or set, such as {"body": "Seen."}.',
    )
    idempotency_key = forms.CharField(
        max_length=200,
        initial=lambda: f"staff-{uuid6.uuid7()}",
        widget=UnfoldAdminTextInputWidget,
        help_text="The same key is the same action: sending this page twice does it once.",
    )
    fields_by_pointer: ClassVar = {"connection_id": "connection", "provider_id": "connection"}

    class Meta:
        model = NormalisedAction
        fields = ("connection", "canonical_type", "target", "payload", "idempotency_key")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["connection"].help_text = "As which connection. Type the beginning of its name."

    def perform(self, cleaned: dict[str, Any]) -> NormalisedAction:
        connection = cleaned["connection"]
        wish = Wish(
            provider_id=connection.provider_id,
            canonical_type=cleaned["canonical_type"],
            target=cleaned["target"],
            payload=cleaned["payload"],
            idempotency_key=cleaned["idempotency_key"],
        )
        return execute(connection, wish, actor=self.actor, wait=False)
