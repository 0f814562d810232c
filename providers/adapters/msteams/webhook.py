"""The three roads by which Teams tells something; a registration is bound to the scheme of one of them.

| scheme | sender | proof |
|---|---|---|
| ``graph`` | Graph change notifications | ``clientState``, a secret of ours, in every item of the body |
| ``outgoing_webhook`` | an outgoing webhook of a team | HMAC of the body, with the token Teams made |
| ``bot`` | a bot's channel (Bot Framework) | a JWT of published keys, for the id of the app |

None of them signs a clock. Sources:
https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
"""

from __future__ import annotations

from typing import Final

import orjson

from providers.adapters.msteams import activities, notifications
from providers.document import Document
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, Webhook, WebhookReply, WebhookRequest
from providers.verification import Field, Header, HmacScheme, KeySetScheme, SecretForm, SharedTokenScheme

_OUTGOING: Final = "HMAC "
_MAX_TOKEN_LENGTH: Final = 2000
_RECEIVED: Final = "Received."


class TeamsWebhook(Webhook):
    """Which road a body came by is seen from its shape: an activity has a type, notifications are a list."""

    schemes = {
        "graph": SharedTokenScheme(token=Field(pointer="/value/*/clientState")),
        "outgoing_webhook": HmacScheme(
            signature=Header(name="authorization", prefix=_OUTGOING), encoding="base64", secret_form=SecretForm.BASE64
        ),
        "bot": KeySetScheme(
            keys_url="https://login.botframework.com/v1/.well-known/openidconfiguration",
            issuer="https://api.botframework.com",
            key_endorsement="msteams",
        ),
    }
    secret_from_provider = frozenset({"outgoing_webhook", "bot"})
    event_types = (*notifications.MAPPED, *activities.MAPPED)

    def unsigned_handshake(self, request: WebhookRequest) -> WebhookReply | None:
        """Graph asks a new URL to repeat a token within 10 s, decoded and as plain text, before it knows a secret."""
        token = request.query.get("validationToken", "")
        # Only that subscription asks, with nothing in the body: an answer must never stand for a delivery.
        if request.scheme != "graph" or request.body or not 0 < len(token) <= _MAX_TOKEN_LENGTH:
            return None
        return WebhookReply(token.encode(errors="replace"), content_type="text/plain; charset=utf-8")

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        payload = request.payload()
        body = Document(payload)
        if body.text("/type"):
            return activities.events(payload, request.body)
        if isinstance(payload.get("value"), list):
            return notifications.events(body)
        raise UnreadablePayload("The body is neither an activity nor a list of notifications.")

    def acknowledgement(self, request: WebhookRequest) -> WebhookReply | None:
        """An outgoing webhook must answer with a message, a card's button with a result; else Teams shows an error."""
        if request.header("authorization").startswith(_OUTGOING):
            return WebhookReply(orjson.dumps({"type": "message", "text": _RECEIVED}))
        if b"invoke" in request.body and activities.is_card_action(Document(request.payload())):
            answer = {"statusCode": 200, "type": "application/vnd.microsoft.activity.message", "value": _RECEIVED}
            return WebhookReply(orjson.dumps(answer))
        return None
