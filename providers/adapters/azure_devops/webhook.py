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

from providers.adapters.azure_devops import mapping, mapping_work
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
from providers.document import Document, compact
from providers.spi import TEST_DELIVERY, ProviderEvent, Webhook, WebhookRequest
from providers.verification import BasicScheme, Header, SharedTokenScheme

_ID = re.compile(r"[A-Za-z0-9._:-]{1,60}", re.ASCII)
_NOBODY = "00000000-0000-0000-0000-000000000000"
# The account of the vendor's sample payloads, which a test of a subscription sends.
_SAMPLE_ACCOUNT = "f844ec47-a9db-4511-8281-8b63f4eaf94e"
_CLOSING = {SignalType.PR_MERGED: "merged", SignalType.PR_CLOSED: "closed"}


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
        for index, part in enumerate(_refs(payload) if event == PUSH else [payload]):
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
                    ordering_key=_ordering_key(event, one),
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


def _refs(payload: JSON) -> list[JSON]:
    """A push once for each ref it moved, without what only the push as a whole can say."""
    resource = payload.get("resource")
    updates = resource.get("refUpdates") if isinstance(resource, dict) else None
    if not isinstance(resource, dict) or not isinstance(updates, list) or len(updates) < 2:
        return [payload]
    commits = {one.text("/commitId"): one.value for one in Document(payload).items("/resource/commits")}
    whole = {name: value for name, value in resource.items() if name not in ("commits", "refUpdates")}
    rest = {name: value for name, value in payload.items() if name not in ("message", "detailedMessage")}
    return [
        {**rest, "resource": compact({**whole, "refUpdates": [update], "headCommit": commits.get(_head(update))})}
        for update in updates
    ]


def _head(update: object) -> str:
    return Document(update).text("/newObjectId") or "none"


def _dedupe_key(event: str, signal_type: SignalType | None, identity: str, index: int, document: Document) -> str:
    """What a repetition shares: the version of the thing where the body names one, else the event's own id.

    Several subscriptions may tell of one happening; a version makes that one event whatever ids they use.
    """
    if event == PUSH:
        # By ref, not by place: a subscription to one branch may list fewer refs of the same push.
        push, ref = document.integer("/resource/pushId"), _ref(document)
        return f"push:{push}:{ref}" if push and ref else f"event:{identity}:{index}"
    if event == PULL_REQUEST_CREATED and (request := _pull_request(document)):
        return f"{request}:opened"
    if event == PULL_REQUEST_UPDATED and signal_type in _CLOSING:
        request, closed = _pull_request(document), document.time("/resource/closedDate")
        if request and closed:
            return f"{request}:{_CLOSING[signal_type]}:{closed.isoformat()}"
    collection = document.text("/resourceContainers/collection/id", limit=ID_LENGTH) or ""
    if event in (WORK_ITEM_CREATED, WORK_ITEM_UPDATED):
        item, revision = mapping_work.number(document), document.integer("/resource/rev", "/resource/revision/rev")
        if item and revision:
            return f"workitem:{collection}:{item}:{revision}:{signal_type or 'ignored'}"
    if event == BUILD_COMPLETE:
        # A run that is tried again ends at another time.
        run, ended = document.text("/resource/id", limit=ID_LENGTH), document.time("/resource/finishTime")
        if run and ended:
            return f"run:{collection}:{run}:{ended.isoformat()}"
    return f"event:{identity}:{signal_type or 'ignored'}"


def _repository(document: Document, root: str = "/resource/repository") -> str | None:
    return document.text(f"{root}/id", limit=ID_LENGTH)


def _ref(document: Document) -> str | None:
    """A ref of a repository; its name may be longer than a key, so a part of its hash stands for it."""
    repository, ref = _repository(document), document.text("/resource/refUpdates/0/name")
    return f"{repository}:{hashlib.sha256(ref.encode()).hexdigest()[:32]}" if repository and ref else None


def _pull_request(document: Document) -> str | None:
    for root in ("/resource", "/resource/pullRequest"):
        repository, number = _repository(document, f"{root}/repository"), document.integer(f"{root}/pullRequestId")
        if repository and number:
            return f"pr:{repository}:{number}"
    return None


def _ordering_key(event: str, document: Document) -> str:
    """The entity an event is about; empty where the body does not name it."""
    if event.startswith(("git.pullrequest.", "ms.vss-code.")):
        return _pull_request(document) or ""
    if event == PUSH:
        ref = _ref(document)
        return f"ref:{ref}" if ref else ""
    if event.startswith("workitem."):
        item = mapping_work.number(document)
        return f"workitem:{item}" if item else ""
    for kind, pointers in _ENTITIES.items():
        found = document.text(*pointers, limit=ID_LENGTH) if event.startswith(kind) else None
        if found:
            return f"{_ENTITY_NAMES[kind]}:{found}"
    return ""


_ENTITIES: Mapping[str, tuple[str, ...]] = {
    "build.": ("/resource/id",),
    "ms.vss-pipelines.": ("/resource/run/id",),
    "ms.vss-pipelinechecks-events.": ("/resource/approval/id",),
    "ms.vss-release.deployment-approval-": ("/resource/approval/id",),
    "ms.vss-release.deployment-": ("/resource/environment/id",),
    "ms.vss-release.release-": ("/resource/release/id",),
    "git.repo.": ("/resource/repository/id", "/resource/repositoryId"),
}
_ENTITY_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("build.", "ms.vss-pipelines."), "run"),
    **dict.fromkeys(("ms.vss-pipelinechecks-events.", "ms.vss-release.deployment-approval-"), "approval"),
    "ms.vss-release.deployment-": "deployment",
    "ms.vss-release.release-": "release",
    "git.repo.": "repository",
}
