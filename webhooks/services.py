"""The webhook road for callers in code."""

from __future__ import annotations

from collections.abc import Mapping

from webhooks.intake import take_in
from webhooks.lookup import find_door
from webhooks.results import WebhookResult


class WebhookService:
    """Takes webhook requests in, wherever they arrived."""

    def process_webhook(
        self,
        provider_id: str,
        connection_token: str,
        payload: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
    ) -> WebhookResult:
        """Verify, deduplicate and store one request; the result unpacks to ``success, error``.

        ``payload`` is the raw body exactly as received: a signature covers bytes, not their meaning.
        Header names may be in any case; ``query`` is what the URL carried. Raises ``TypeError`` for a payload
        that is not bytes.
        """
        if not isinstance(payload, bytes | bytearray | memoryview):
            raise TypeError("payload must be the raw bytes of the request; parsed JSON cannot be verified")
        lowered = {name.lower(): value for name, value in headers.items()}
        return take_in(find_door(provider_id, connection_token), bytes(payload), lowered, query)
