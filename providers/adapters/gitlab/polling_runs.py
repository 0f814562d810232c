"""What a project runs and publishes: pipelines, deployments, releases.

A pipeline and a deployment tell the state the list shows, and only states a webhook would tell; those between two polls
are not seen. A release has no time of change, so only new ones are found.

Sources: https://docs.gitlab.com/api/pipelines/, https://docs.gitlab.com/api/deployments/,
https://docs.gitlab.com/api/releases/
"""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from providers.adapters.gitlab.mapping_rules import action_of, classify
from providers.adapters.gitlab.places import project
from providers.adapters.gitlab.polling import GitLabStream, event, instant
from providers.canonical import JSON, SignalType
from providers.document import Document
from providers.errors import ProviderFault
from providers.listing import Order, Place
from providers.spi import ProviderEvent

# Pipelines of merge requests run on a ref of their own; their webhooks name the merge request.
_REQUEST_REF = re.compile(r"refs/merge-requests/([0-9]{1,15})/(?:head|merge|train)", re.ASCII)


class RunStream(GitLabStream):
    """Runs by the time of their last change, which is that of their present state."""

    order = Order.OLDEST_FIRST
    step = timedelta(seconds=1)
    # What changed after a span tells nothing of it, so the list may be cut at both ends.
    slice = timedelta(days=7)
    enabled_by_default = False
    kind: ClassVar[str]

    def filters(self, place: Place) -> Mapping[str, Any]:
        until = {"updated_before": instant(place.until)} if place.until else {}
        return {"order_by": "updated_at", "sort": "asc", "updated_after": instant(place.since), **until}

    @abstractmethod
    def body(self, item: Document, place: Place) -> JSON:
        """The item as the webhook about its state."""

    def version(self, signal_type: SignalType, updated: datetime) -> str:
        """What makes a state another than the same one later on; empty where it comes once."""
        return ""

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        own, updated = item.text("/id", limit=40), item.time("/updated_at")
        if own is None or updated is None:
            raise ProviderFault(f"An item of GitLab's {self.path} has no id or no time.")
        body = {"object_kind": self.kind, "user": item.at("/user"), **self.body(item, place)}
        document = Document(body)
        state = action_of(self.kind, document)[:40]
        for signal_type in classify(self.kind, document)[0]:
            identity = f"{self.kind}:{own}:{state}{self.version(signal_type, updated)}"
            yield event(f"{self.kind}.{state}", signal_type, identity, updated, body)


class PipelineStream(RunStream):
    name = "pipelines"
    description = "Pipelines by their present state; child pipelines are not among them."
    path = "pipelines"
    kind = "pipeline"

    def version(self, signal_type: SignalType, updated: datetime) -> str:
        # A retried job makes it run, and end, again. Starts are told alike, once.
        return "" if signal_type is SignalType.PIPELINE_STARTED else f":{instant(updated)}"

    def body(self, item: Document, place: Place) -> JSON:
        address = item.text("/web_url")
        of_request = _REQUEST_REF.fullmatch(item.text("/ref") or "")
        return {
            "project": project(place.settings, place.partition, item.integer("/project_id"), address),
            "object_attributes": {**item.value, "url": address, **({"ref": None} if of_request else {})},
            "merge_request": {"iid": int(of_request[1])} if of_request else None,
        }


class DeploymentStream(RunStream):
    name = "deployments"
    description = "Deployments by their present state."
    path = "deployments"
    kind = "deployment"

    def body(self, item: Document, place: Place) -> JSON:
        number, job = item.integer("/deployable/pipeline/project_id"), item.text("/deployable/web_url")
        return {
            "project": project(place.settings, place.partition, number, job),
            "deployment_id": item.at("/id"),
            "status": item.at("/status"),
            "status_changed_at": item.at("/updated_at"),
            "environment": item.at("/environment/name"),
            "environment_tier": item.at("/environment/tier"),
            "ref": item.at("/ref"),
            "sha": item.at("/sha"),
            "commit_title": item.at("/deployable/commit/title"),
            "deployable_url": job,
        }


class ReleaseStream(GitLabStream):
    """Sorted by when they were made: the day they are dated, ``released_at``, may lie anywhere."""

    name = "releases"
    description = "New releases."
    path = "releases"
    order = Order.NEWEST_FIRST
    changed_at = ("/created_at",)
    enabled_by_default = False

    def filters(self, place: Place) -> Mapping[str, Any]:
        return {"order_by": "created_at", "sort": "desc"}

    def events(self, item: Document, place: Place) -> Iterator[ProviderEvent]:
        tag, created = item.text("/tag_name"), item.time("/created_at")
        if tag is None or created is None:
            raise ProviderFault("A release of GitLab's list has no tag or no time.")
        address = item.text("/_links/self")
        # A tag may be released anew after its release was deleted.
        own = hashlib.sha256((address or f"{place.partition}:{tag}").encode()).hexdigest()
        body = {
            **item.value,
            "object_kind": "release",
            "action": "create",
            "tag": tag,
            "url": address,
            "user": item.at("/author"),
            "project": project(place.settings, place.partition, None, address),
        }
        yield event("release.create", SignalType.RELEASE_PUBLISHED, f"release:{own}:{instant(created)}", created, body)
