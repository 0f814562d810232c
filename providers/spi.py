"""The contract between an adapter and everything above it.

You write: an ``Adapter`` subclass with a ``Manifest``, a settings schema, and the parts the provider has:
a ``Webhook`` (requests in), ``Stream`` objects (polling), and ``normalise`` (stored payload to ``Signal``).
You leave: verification, storing, deduplication, delivery, scheduling, retries, tenants. An adapter never
sees a tenant, the database, a clock or a setting of the deployment: all it needs arrives as arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs

from providers.actions import OutboundAction
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import parse_json
from providers.errors import UnreadablePayload
from providers.ledgers import DeliveryLedger, HookWatcher
from providers.manifest import Manifest
from providers.minting import TokenMinter
from providers.oauth import OAuth2
from providers.scopes import ScopeNeed
from providers.verification import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """One request as it arrived, after its signature was verified. Header names are lower case."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Parameters of the URL, as far as they occur once; whoever chose the URL chose them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The connection's settings, for providers whose events are described by them."""
    scheme: str = ""
    """Name of the scheme it was verified with; where schemes sign different headers, only those of this one count."""

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def payload(self, *, form_field: str = "") -> JSON:
        """The body as a JSON object; ``form_field`` names the field that holds it in a form post.

        Raises ``UnreadablePayload`` for anything else.
        """
        raw = self.body
        if form_field and self.header("content-type").startswith("application/x-www-form-urlencoded"):
            raw = _form_value(raw, form_field)
        try:
            value = parse_json(raw)
        except ValueError as error:
            raise UnreadablePayload("The body is not valid JSON.") from error
        if not isinstance(value, dict):
            raise UnreadablePayload("The body is valid JSON but not an object.")
        return value


def _form_value(raw: bytes, form_field: str) -> bytes:
    try:
        values = parse_qs(raw.decode(), strict_parsing=True, max_num_fields=20).get(form_field, [])
    except (UnicodeDecodeError, ValueError) as error:
        raise UnreadablePayload("The body is not a valid form.") from error
    if len(values) != 1:
        raise UnreadablePayload(f"The form has no single field {form_field!r}.")
    return values[0].encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """One happening in the provider's words, ready to be stored.

    ``event_type``: the provider's name for it, with its action (``pull_request.opened``), ≤ 120 characters.
    ``dedupe_key``: the same for every repetition of the same delivery or polled item version, ≤ 200.
    ``payload``: the provider's object, enough to map from later; it is redacted before it is stored.
    ``signal_type``: what it will become; ``None`` stores it as ignored (``ignored_reason`` says why).
    ``happening``: equal for webhook and poll when both tell of the same happening; empty if unknowable.
    ``ordering_key``: the entity whose events must stay in order; empty if the provider gives no order.
    ``correlation_id``: the provider's own id of the event, for people who search by it.
    ``credential_revoked``: the provider says that this connection's authorisation has ended.
    """

    event_type: str
    dedupe_key: str
    payload: JSON
    signal_type: SignalType | None = None
    ignored_reason: str = ""
    occurred_at: datetime | None = None
    happening: str = ""
    ordering_key: str = ""
    correlation_id: str = ""
    credential_revoked: bool = False


# The ``ignored_reason`` of pings and test deliveries, alike for all: they show that the door works.
TEST_DELIVERY = "A test delivery of the provider; it tells of nothing that happened."


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """An answer the provider insists on instead of ours (a handshake)."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


class Webhook(ABC):
    """The push road of one provider. Everything here is a function of headers and bytes."""

    schemes: ClassVar[Mapping[str, Scheme]]
    """Signature schemes by name. A registration is bound to one; a request cannot choose. First: default."""

    event_types: ClassVar[Sequence[str]] = ()
    """Events a registration can subscribe to, provider's words, for validation and help."""

    secret_from_provider: ClassVar[frozenset[str]] = frozenset()
    """Names of the schemes whose secret the provider makes, so that a person must paste it."""

    routed: ClassVar[bool] = False
    """Whether one URL may serve an app of many accounts; ``routes`` then says whose a delivery is."""

    registrar: ClassVar[HookRegistrar | None] = None
    """Makes and removes hooks through the provider's API, where it has one for that."""

    ledger: ClassVar[DeliveryLedger | None] = None
    """What the provider remembers of its deliveries; what is missed is then repaired (``providers.ledgers``)."""

    @abstractmethod
    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        """Split one verified request into events; an empty list is a request that tells nothing.

        Raises ``UnreadablePayload`` where the body is not what the provider documents.
        """

    def handshake(self, request: WebhookRequest) -> WebhookReply | None:
        """The reply to a handshake, or ``None`` for an ordinary delivery. Called after verification."""
        return None

    def unsigned_handshake(self, request: WebhookRequest) -> WebhookReply | None:
        """The reply to a handshake the provider cannot sign. Called before verification, so it proves nothing.

        Must not depend on anything but the request, and must answer as plain text.
        """
        return None

    def acknowledgement(self, request: WebhookRequest) -> WebhookReply | None:
        """The answer to a stored delivery where the provider shows it to a person; ``None``: the usual one."""
        return None

    def routes(self, request: WebhookRequest) -> Sequence[str]:
        """The accounts a verified delivery to a shared door belongs to, in the words of ``Identity.routes``."""
        return ()

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        """Headers besides the proof with which the provider would deliver, lower case; for trying things out."""
        return {"content-type": "application/json"}


class HookRegistrar(ABC):
    """Hooks at the provider, made and removed through its API. Each call is one logical request.

    A connection may need several hooks, such as one a repository; each place is a target.
    """

    scheme: ClassVar[str]
    """The scheme such hooks prove themselves with."""

    watcher: ClassVar[HookWatcher | None] = None
    """Tells whether a hook still delivers, and makes it deliver again, where the provider has an API for that."""

    @abstractmethod
    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        """Where hooks are made. Raises ``Misconfigured`` with what the settings lack."""

    @abstractmethod
    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        """Make one hook and return its id at the provider. ``events`` are the provider's words; empty: all.

        Making it again after an unknown outcome must not leave two: look for ``url`` first where the
        provider would allow both. Raises ``ProviderError``.
        """

    @abstractmethod
    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        """Give an existing hook a new secret. Raises ``ProviderError``."""

    @abstractmethod
    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        """Remove the hook; one that is gone already is success. Raises ``ProviderError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The span a stream is asked for. ``until`` is ``None`` in live polling."""

    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a stream.

    ``position``: where to go on after this page; committed with its events in one transaction. Opaque to
    the runtime, JSON, small. While ``more`` is true it must differ from the position before it.
    ``poll_after_seconds``: the provider's own wish for the next poll, if it gave one.
    """

    events: Sequence[ProviderEvent]
    position: JSON
    more: bool = False
    poll_after_seconds: float | None = None


class Stream(ABC):
    """One pollable list of one provider."""

    name: ClassVar[str]
    description: ClassVar[str] = ""
    enabled_by_default: ClassVar[bool] = True
    overlap_seconds: ClassVar[int] = 0
    """How far behind its own watermark each run reads again, for late and same-instant records."""
    retention: ClassVar[timedelta | None] = None
    """How far back the provider keeps what the list shows; ``None``: for as long as it exists."""
    slice: ClassVar[timedelta | None] = None
    """Length of the slices in which a window of the past is read; ``None``: in one go, because its end does not bound
    the work (the provider filters by the time of the last change, and what is told lies before it)."""

    def partitions(self, settings: Mapping[str, Any]) -> Sequence[str]:
        """The independent parts to poll, such as repositories; one unnamed part by default."""
        return ("",)

    @abstractmethod
    def page(
        self,
        client: ProviderClient,
        *,
        partition: str,
        settings: Mapping[str, Any],
        position: JSON,
        window: Window,
    ) -> Page:
        """Fetch one page, going on at ``position`` (``{}`` is the start of ``window``).

        Exactly one logical request. Raises ``ProviderError``; never returns an empty page for a failure.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a credential belongs to, as the provider says: evidence that it works.

    ``routes``: names under which deliveries to a shared door belong to this account. Only what the
    provider itself said may stand here: it decides whose events these are.
    ``scopes``: what the credential is allowed, in the provider's words; ``None`` where it does not say.
    ``expires_at``: when the credential ends, if the provider says; ``None``: not told, or never.
    """

    account: str
    details: Mapping[str, str] = field(default_factory=dict)
    routes: Sequence[str] = ()
    scopes: Sequence[str] | None = None
    expires_at: datetime | None = None


class Adapter(ABC):
    """One provider. Subclass, set the attributes, give the parts; see ADDING_A_PROVIDER.md."""

    slug: ClassVar[str]
    label: ClassVar[str]
    category: ClassVar[Category]
    initial_status: ClassVar[str] = "beta"
    api_versions: ClassVar[Sequence[str]]
    """Supported versions of the provider's API, newest first; the first is the default."""
    development_only: ClassVar[bool] = False

    manifest: ClassVar[Manifest]
    settings_schema: ClassVar[JSON]
    """JSON Schema (2020-12) of a connection's settings."""
    credential_schema: ClassVar[JSON]
    """JSON Schema of the credential object; every property is secret unless marked ``x-public``."""

    oauth: ClassVar[OAuth2 | None] = None
    """How access is granted by the provider's own page, where it has one (``providers.oauth``)."""
    token_minters: ClassVar[Sequence[TokenMinter]] = ()
    """Who turns credentials that are no access token into one (``providers.minting``)."""

    webhook: ClassVar[Webhook | None] = None
    streams: ClassVar[Sequence[Stream]] = ()
    required_scopes: ClassVar[Mapping[str, Sequence[ScopeNeed]]] = {}
    """What a credential must be allowed, by capability; under ``webhook`` for making hooks through the API. Only for
    providers that tell what they granted (``Identity.scopes``)."""
    actions: ClassVar[Sequence[OutboundAction]] = ()
    """What can be asked of the provider, one for each canonical command it takes (``providers.actions``)."""

    def process_webhook(self, request: WebhookRequest) -> list[ProviderEvent]:
        """Turn one verified request into zero or more events."""
        if self.webhook is None:
            raise UnreadablePayload("This provider sends no webhooks.")
        return self.webhook.events(request)

    @abstractmethod
    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        """Map a stored payload. Must not raise on missing optional parts; thin payloads give thin signals."""

    @abstractmethod
    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        """Base URL and headers for calls with this credential. Raises ``Misconfigured``."""

    @abstractmethod
    def verify(self, client: ProviderClient) -> Identity:
        """Prove the credential with one real call. Raises ``ProviderError``."""

    @classmethod
    def capabilities(cls) -> dict[str, bool]:
        """Derived from the parts that are present, never declared."""
        return {
            "webhook": cls.webhook is not None,
            "polling": bool(cls.streams),
            "outbound_actions": bool(cls.actions),
        }

    def streams_in_use(self, settings: Mapping[str, Any]) -> list[Stream]:
        """The streams a connection with these settings reads: those named in ``streams``, else the default ones."""
        chosen = settings.get("streams")
        if isinstance(chosen, list):
            return [stream for stream in self.streams if stream.name in chosen]
        return [stream for stream in self.streams if stream.enabled_by_default]

    def stream(self, name: str) -> Stream:
        """The stream of that name; raises ``KeyError``."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise KeyError(name)

    def action(self, action_type: str) -> OutboundAction:
        """The action for that canonical command; raises ``KeyError``."""
        for action in self.actions:
            if action.type == action_type:
                return action
        raise KeyError(action_type)
