"""Service hooks: one request is one event, which may mean several things.

Nothing signs a body or a clock. A subscription proves itself with Basic authentication or with a header we chose
(https://learn.microsoft.com/azure/devops/service-hooks/services/webhooks), the same for every delivery, so neither a
time window nor a memory of signatures applies; the ids in the body carry replay protection.

An error in our answer stops a subscription from sending anything new
(https://learn.microsoft.com/azure/devops/service-hooks/troubleshoot), so every object is taken, understood or not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from providers.adapters.azure_devops import mapping, mapping_work, naming
from providers.adapters.azure_devops.mapping import (
    BUILD_COMPLETE,
    KINDS,
    MAPPED,
    PULL_REQUEST_CREATED,
    PULL_REQUEST_UPDATED,
    PUSH,
    WORK_ITEM_CREATED,
    WORK_ITEM_UPDATED,
)
from providers.adapters.azure_devops.places import ID_LENGTH
from providers.canonical import JSON, SignalType
from providers.document import Document
from providers.spi import TEST_DELIVERY, ProviderEvent, Webhook, WebhookRequest
from providers.verification import BasicScheme, Header, SharedTokenScheme

_ID = re.compile(r"[A-Za-z0-9._:-]{1,60}", re.ASCII)
_NOBODY = "00000000-0000-0000-0000-000000000000"
# The account of the vendor's sample payloads, which a test of a subscription sends.
_SAMPLE_ACCOUNT = "f844ec47-a9db-4511-8281-8b63f4eaf94e"


class AzureDevOpsWebhook(Webhook):
    schemes = {"basic": BasicScheme(), "header": SharedTokenScheme(token=Header(name="x-sig-secret"))}
    event_types = tuple(sorted(MAPPED))

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        payload = request.payload()
        document = Document(payload)
        event = document.text("/eventType", limit=100) or "unknown"
        given = document.text("/id") or ""
        identity = given if _ID.fullmatch(given) else f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        if _is_test(document):
            return [_test(event, payload, hashlib.sha256(request.body).hexdigest())]
        kind = request.query.get("kind", "").lower() if event == PULL_REQUEST_UPDATED else ""
        told: list[ProviderEvent] = []
        for index, part in enumerate(naming.refs(payload) if event == PUSH else [payload]):
            one = Document(part)
            signal_types, reason = mapping.meanings(event, kind, one)
            outcomes: list[SignalType | None] = [*signal_types] or [None]
            told += [
                ProviderEvent(
                    event_type=f"{event}.{kind}" if kind in KINDS else event,
                    dedupe_key=_dedupe_key(event, signal_type, identity, index, one),
                    payload=part,
                    signal_type=signal_type,
                    ignored_reason="" if signal_type else reason,
                    occurred_at=mapping.occurred_at(signal_type, one),
                    happening=naming.happening(event, signal_type, one),
                    ordering_key=naming.ordering_key(event, one),
                    correlation_id=given if _ID.fullmatch(given) else "",
                )
                for signal_type in outcomes
            ]
        return told

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        # No header names the event or the delivery; both stand in the body.
        return {"content-type": "application/json; charset=utf-8"}


def _is_test(document: Document) -> bool:
    """A test of a subscription: nobody's subscription, or somebody's with the vendor's sample data."""
    subscription = document.text("/subscriptionId")
    sample = document.text("/resourceContainers/account/id") == _SAMPLE_ACCOUNT
    return subscription == _NOBODY or bool(subscription and sample)


def _test(event: str, payload: JSON, digest: str) -> ProviderEvent:
    return ProviderEvent(event_type=event, dedupe_key=f"test:{digest}", payload=payload, ignored_reason=TEST_DELIVERY)


def _dedupe_key(event: str, signal_type: SignalType | None, identity: str, index: int, document: Document) -> str:
    """What a repetition shares: the version of the thing where the body names one, else the event's own id.

    Several subscriptions may tell of one happening; a version makes that one event whatever ids they use.
    """
    if event == PUSH:
        return naming.push(document) or f"event:{identity}:{index}"
    if event == PULL_REQUEST_CREATED and (request := naming.pull_request(document)):
        return f"{request}:opened"
    if event == PULL_REQUEST_UPDATED and (closing := naming.closing(signal_type, document)):
        return closing
    collection = document.text("/resourceContainers/collection/id", limit=ID_LENGTH) or ""
    if event in (WORK_ITEM_CREATED, WORK_ITEM_UPDATED):
        item, revision = mapping_work.number(document), mapping_work.revision(document)
        if item and revision:
            return f"workitem:{collection}:{item}:{revision}:{signal_type or 'ignored'}"
    if event == BUILD_COMPLETE:
        # A run that is tried again ends at another time.
        run, ended = document.text("/resource/id", limit=ID_LENGTH), document.time("/resource/finishTime")
        if run and ended:
            return f"run:{collection}:{run}:{ended.isoformat()}"
    return f"event:{identity}:{signal_type or 'ignored'}"
