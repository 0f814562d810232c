"""What GitHub delivered to a hook: kept for three days, and sent again when it is asked to.

GitHub never sends a failed delivery again by itself. The list names the deliveries without their bodies; one by one
they can be read or sent again, for which a token needs *Webhooks: read* and *write*.

Sources: https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook and
https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from providers.adapters.github.mapping_rules import ANY, RULES
from providers.adapters.github.registrar import explained, hook_path
from providers.canonical import JSON, SignalType
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault
from providers.ledgers import DeliveryLedger, LedgerEntry, LedgerPage, LedgerRequest

PAGE_SIZE: Final = 100
_GUID = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_]{1,60}", re.ASCII)
_CURSOR = re.compile(r"[!-~]{1,300}", re.ASCII)


class GitHubLedger(DeliveryLedger):
    """An unchanged list is answered 304, which costs no quota."""

    # Of Enterprise Server it is seven; what is older than three there is polled.
    retention = timedelta(days=3)
    # Each is a write that counts fivefold; GitHub asks for a second between two of them.
    redeliveries_a_minute = 20

    def attempts(
        self, client: ProviderClient, *, target: str, hook_id: str, position: JSON, since: datetime
    ) -> LedgerPage:
        cursor, known = position.get("cursor"), position.get("etag")
        params: JSON = {"per_page": PAGE_SIZE}
        if cursor:
            params["cursor"] = cursor
        headers = {"If-None-Match": str(known)} if known and not cursor else None
        with explained(target):
            answer = client.get(f"{hook_path(target, hook_id)}/deliveries", params=params, headers=headers)
        if answer.status == 304:
            return LedgerPage(entries=(), position={"etag": known}, more=False)
        # What marks the list as unchanged is that of its first page.
        etag = known if cursor else answer.headers.get("etag", "")[:200]
        entries = _entries(answer)
        following = _cursor(answer)
        if following and (not entries or entries[-1].delivered_at >= since):
            return LedgerPage(entries=entries, position={"cursor": following, "etag": etag}, more=True)
        return LedgerPage(entries=entries, position={"etag": etag} if etag else {}, more=False)

    def redeliver(self, client: ProviderClient, *, target: str, hook_id: str, attempt_id: str) -> None:
        with explained(target):
            client.write("POST", f"{_path(target, hook_id, attempt_id)}/attempts")

    def fetch(self, client: ProviderClient, *, target: str, hook_id: str, attempt_id: str) -> LedgerRequest | None:
        with explained(target):
            delivery = Document(client.get(_path(target, hook_id, attempt_id)).json())
        event, guid = delivery.text("/event") or "", delivery.text("/guid") or ""
        if not _WORD.fullmatch(event) or not _GUID.fullmatch(guid):
            raise ProviderFault("GitHub's answer does not describe a delivery.")
        payload = delivery.at("/request/payload")
        if not isinstance(payload, dict) or not payload:
            return None
        # The two headers that mean anything, whatever else was sent.
        headers = {"content-type": "application/json", "x-github-event": event, "x-github-delivery": guid}
        return LedgerRequest(headers=headers, body=json.dumps(payload).encode())


def _path(target: str, hook_id: str, attempt_id: str) -> str:
    return f"{hook_path(target, hook_id)}/deliveries/{quote(attempt_id, safe='')}"


def _entries(answer: Response) -> list[LedgerEntry]:
    found = answer.json()
    if not isinstance(found, list):
        raise ProviderFault("GitHub's answer holds no list of deliveries.")
    return [_entry(Document(delivery)) for delivery in found]


def _entry(delivery: Document) -> LedgerEntry:
    number, guid = delivery.text("/id") or "", delivery.text("/guid") or ""
    event, action = delivery.text("/event") or "", delivery.text("/action") or ""
    at = delivery.time("/delivered_at")
    if at is None or not _NUMBER.fullmatch(number) or not _GUID.fullmatch(guid) or not _WORD.fullmatch(event):
        raise ProviderFault("GitHub's list holds something that is no delivery.")
    status = delivery.integer("/status_code") or 0
    rules = RULES.get(event, {})
    rule = rules.get(action, rules.get(ANY, ""))
    return LedgerEntry(
        delivery_id=guid,
        attempt_id=number,
        event_type=f"{event}.{action}" if _WORD.fullmatch(action) else event,
        delivered_at=at,
        ok=200 <= status < 300,
        status=status if 0 <= status < 1000 else 0,
        dedupe_keys=(f"delivery:{guid}",),
        # Where the rule is a question to the body, only the body can tell.
        matters=isinstance(rule, SignalType) or callable(rule),
    )


def _cursor(answer: Response) -> str:
    """The mark of the next page, taken out of its address: nothing else of that is followed."""
    found = parse_qs(urlsplit(answer.link("next")).query).get("cursor", [""])[-1]
    return found if _CURSOR.fullmatch(found) else ""
