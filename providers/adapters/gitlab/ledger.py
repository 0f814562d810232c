"""What GitLab delivered to a hook: kept for seven days, with the bodies, and sent again five times a minute.

The list is newest first, by pages of at most 20. Addresses of people are redacted in its bodies, as they are here
anyway. ``created_at`` is shown by newer versions; older ones leave the ``Date`` of our own answer. Before 17.4 a
delivery had no key, so what such a version shows cannot be compared and is left out.

Sources: https://docs.gitlab.com/api/project_webhooks/#get-a-list-of-project-webhook-events and, for groups,
https://docs.gitlab.com/api/group_webhooks/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from providers.adapters.gitlab.registrar import explained, hooks_path
from providers.canonical import JSON, SignalType
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderFault, UnreadablePayload
from providers.ledgers import DeliveryLedger, LedgerEntry, LedgerPage, LedgerRequest
from providers.spi import ProviderEvent, WebhookRequest
from providers.waits import http_date

PAGE_SIZE: Final = 20
MAX_PAGE: Final = 5000
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_STATUS = re.compile(r"[1-5][0-9]{2}", re.ASCII)
_TRIGGER = re.compile(r"[a-z_]{1,60}", re.ASCII)
# What is kept in place of a body that was too large for GitLab's queue.
_OVERSIZE: Final[JSON] = {"oversize": True}


class GitLabLedger(DeliveryLedger):
    """``read`` says what a delivery tells: the webhook's own reading."""

    retention = timedelta(days=7)
    redeliveries_a_minute = 5
    # Whole deliveries stand in the list, and one alone cannot be asked for.
    fetches = False

    def __init__(self, read: Callable[[WebhookRequest], Sequence[ProviderEvent]]) -> None:
        self._read = read

    def attempts(
        self, client: ProviderClient, *, target: str, hook_id: str, position: JSON, since: datetime
    ) -> LedgerPage:
        number = position.get("page", 1)
        with explained(target):
            answer = client.get(f"{hooks_path(target, hook_id)}/events", params={"per_page": PAGE_SIZE, "page": number})
        found = answer.json()
        if not isinstance(found, list):
            raise ProviderFault("GitLab's answer holds no list of deliveries.")
        entries = list(self._entries(found, since))
        following = answer.headers.get("x-next-page", "")
        leads_on = following.isascii() and following.isdigit() and number < int(following) <= MAX_PAGE
        if leads_on and (not entries or entries[-1].delivered_at >= since):
            return LedgerPage(entries=entries, position={"page": int(following)}, more=True)
        return LedgerPage(entries=entries, position={}, more=False)

    def redeliver(self, client: ProviderClient, *, target: str, hook_id: str, attempt_id: str) -> None:
        with explained(target):
            client.write("POST", f"{hooks_path(target, hook_id)}/events/{attempt_id}/resend")

    def _entries(self, found: list[object], since: datetime) -> Iterator[LedgerEntry]:
        at: datetime | None = None
        for delivery in map(Document, found):
            number = delivery.text("/id") or ""
            if not _NUMBER.fullmatch(number):
                raise ProviderFault("GitLab's list holds something that is no delivery.")
            # One without any time is about as old as its newer neighbour.
            at = _time(delivery) or at
            headers = _headers(delivery)
            if _KEY.fullmatch(headers.get("idempotency-key", "")):
                yield self._entry(delivery, number, headers, at or since)

    def _entry(self, delivery: Document, number: str, headers: dict[str, str], at: datetime) -> LedgerEntry:
        key, body = headers["idempotency-key"], delivery.at("/request_data")
        status = delivery.text("/response_status", limit=20) or ""
        code = int(status) if _STATUS.fullmatch(status) else 0
        request = None
        if isinstance(body, dict) and body and body != _OVERSIZE:
            request = LedgerRequest(headers=headers, body=json.dumps(body).encode())
        event_type, dedupe_keys, matters = self._told(delivery, key, request)
        return LedgerEntry(
            delivery_id=key,
            attempt_id=number,
            event_type=event_type,
            delivered_at=at,
            # A redirect counts as success there.
            ok=200 <= code < 400,
            status=code,
            dedupe_keys=dedupe_keys,
            matters=matters,
            request=request,
        )

    def _told(self, delivery: Document, key: str, request: LedgerRequest | None) -> tuple[str, list[str], bool]:
        """Name, keys, and whether it becomes a signal."""
        trigger = delivery.text("/trigger", limit=60) or ""
        name = trigger.removesuffix("_hooks").removesuffix("_events") if _TRIGGER.fullmatch(trigger) else "unknown"
        if request is not None:
            try:
                events = self._read(WebhookRequest(headers=request.headers, body=request.body))
            except UnreadablePayload:
                return name, [], True
            matters = any(event.signal_type is not None for event in events)
            return events[0].event_type, [event.dedupe_key for event in events], matters
        # Without its body it may be any.
        return name, [f"{key}:{kind}" for kind in (*SignalType, "ignored")], True


def _headers(delivery: Document) -> dict[str, str]:
    """Those that say what it is; the secret is redacted there, and a signature is of no use here."""
    given = delivery.at("/request_headers")
    lowered = {str(name).lower(): value for name, value in given.items()} if isinstance(given, dict) else {}
    wanted = ("idempotency-key", "x-gitlab-event", "x-gitlab-event-uuid", "x-gitlab-instance")
    found = {name: lowered[name] for name in wanted if isinstance(lowered.get(name), str)}
    return {"content-type": "application/json", **found}


def _time(delivery: Document) -> datetime | None:
    answered = delivery.at("/response_headers/Date")
    seconds = http_date(answered) if isinstance(answered, str) else None
    return delivery.time("/created_at") or (datetime.fromtimestamp(seconds, tz=UTC) if seconds else None)
