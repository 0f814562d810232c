"""A connection proven step by step: the way to its provider, the credential, what it may do, and a first read.

The steps run in order. After one that failed the others are not tried, and say so. What a step found is for people:
redacted, without addresses of the operator's own network, and with a word on what to do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.runtime import adapter_for, client_for
from connections.token_models import AccessToken
from connections.turns import deadline
from connections.verification_scopes import judged_scopes
from connections.verification_words import ADVICE, Finding, Outcome
from providers import reaching, registry
from providers.client import CONNECT_TIMEOUT_SECONDS, ProviderClient
from providers.errors import AuthFailed, ProviderError, QuotaSpent
from providers.reaching import Reached
from providers.redaction import redact_text
from providers.spi import Adapter, Identity, Window

# A certificate that ends sooner is worth a word; most are renewed a month before.
CERTIFICATE_WARNING = timedelta(days=14)
CREDENTIAL_WARNING = timedelta(days=14)

_MAX_TEXT = 500
_NOT_ROUTED = "Deliveries to a shared webhook are not routed here: the address is not the provider's own."
_NO_ADAPTER = "This deployment no longer has the provider's adapter."


class StepName(StrEnum):
    RESOLVE = "resolve"
    TLS = "tls"
    AUTHENTICATE = "authenticate"
    SCOPES = "scopes"
    FIRST_READ = "first_read"
    WEBHOOK_LOOP = "webhook_loop"


@dataclass(frozen=True, slots=True)
class Step:
    """What was tried and how it went. ``advice`` says what to do about it."""

    name: StepName
    outcome: Outcome
    summary: str
    duration_ms: int = 0
    evidence: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "step": self.name.value,
            "outcome": self.outcome.value,
            "duration_ms": self.duration_ms,
            "summary": _safe(self.summary),
            "evidence": {name: _safe(value) for name, value in self.evidence.items()},
            "advice": _safe(self.advice),
        }


@dataclass(slots=True)
class Proof:
    """What a verification came to. Proven is what has an ``identity`` and no step that failed."""

    steps: list[Step] = field(default_factory=list)
    identity: Identity | None = None
    remark: str = ""
    error: ProviderError | None = None

    @property
    def failed(self) -> Step | None:
        """The step that failed, if one did."""
        return next((step for step in self.steps if step.outcome == Outcome.FAILED), None)

    @property
    def proven(self) -> bool:
        return self.identity is not None and self.failed is None

    @property
    def outcome(self) -> Outcome:
        """The worst of the steps."""
        found = {step.outcome for step in self.steps}
        return next((worst for worst in (Outcome.FAILED, Outcome.WARNING) if worst in found), Outcome.OK)

    @property
    def account(self) -> str:
        """The account the provider named; empty where it named none."""
        return self.identity.account[:200] if self.identity is not None else ""

    @property
    def why(self) -> str:
        """What failed and what to do about it, in one text; empty where nothing did."""
        step = self.failed
        return redact_text(f"{step.summary} {step.advice}".strip())[:1000] if step else ""


def prove(connection: IntegrationConnection) -> Proof:
    """Take the steps, with no transaction open and within the time of the turn (``connections.turns``).

    Raises ``ServiceError`` (503) where the provider's quota does not allow to ask for the credential.
    """
    walk = _Walk(connection)
    try:
        adapter = adapter_for(connection)
        with client_for(connection) as client:
            walk.go(adapter, client)
    except registry.UnknownProvider:
        walk.give_up(_NO_ADAPTER)
    except QuotaSpent as spent:
        raise _ask_later(spent) from None
    except ProviderError as error:
        walk.give_up(str(error), error)
    return walk.proof


class _Walk:
    def __init__(self, connection: IntegrationConnection) -> None:
        self.proof = Proof()
        self._connection = connection
        self._reached: Reached | None = None

    def go(self, adapter: Adapter, client: ProviderClient) -> None:
        self._take(StepName.RESOLVE, lambda: self._resolve(client))
        self._take(StepName.TLS, self._shake_hands)
        self._take(StepName.AUTHENTICATE, lambda: self._authenticate(adapter, client))
        self._take(StepName.SCOPES, lambda: self._scopes(adapter))
        self._take(StepName.FIRST_READ, lambda: self._read(adapter, client))
        self._take(StepName.WEBHOOK_LOOP, self._webhook_loop)

    def give_up(self, message: str, error: ProviderError | None = None) -> None:
        """The credential cannot even be used, so where it would lead is not known either."""
        self.proof.error = error
        advice = ADVICE[error.category] if error is not None else ""
        for name in StepName:
            if name == StepName.AUTHENTICATE:
                self._note(name, Finding(Outcome.FAILED, message, advice=advice))
            elif name not in {step.name for step in self.proof.steps}:
                self._note(name, Finding(Outcome.SKIPPED, "Not tried: the credential cannot be used."))

    def _take(self, name: StepName, step: Callable[[], Finding]) -> None:
        failed = self.proof.failed
        if failed is not None:
            self._note(name, Finding(Outcome.SKIPPED, f"Not tried, because of the step {failed.name.value}."))
            return
        began = time.monotonic()
        try:
            found = step()
        except QuotaSpent:
            raise
        except ProviderError as error:
            self.proof.error = error
            found = Finding(Outcome.FAILED, str(error), advice=ADVICE[error.category])
        self._note(name, found, began)

    def _note(self, name: StepName, found: Finding, began: float | None = None) -> None:
        took = 0 if began is None else round((time.monotonic() - began) * 1000)
        self.proof.steps.append(Step(name, found.outcome, found.summary, took, found.evidence, found.advice))

    def _resolve(self, client: ProviderClient) -> Finding:
        reached = self._reached = reaching.resolve(client.base_url, settings.OUTBOUND_POLICY)
        evidence = {"host": reached.host, "port": str(reached.port)}
        if reached.trusted:
            return Finding(Outcome.OK, "The operator's list of allowed addresses names the host.", evidence)
        evidence["address"] = reached.address
        return Finding(Outcome.OK, "The host leads to a public address.", evidence)

    def _shake_hands(self) -> Finding:
        reached = self._reached
        if reached is None or reached.scheme != "https":
            return Finding(Outcome.SKIPPED, "The address is plain http, which the operator allows for it.")
        shown = reaching.shake_hands(reached, _at_most(CONNECT_TIMEOUT_SECONDS))
        left = shown.expires_at - timezone.now()
        evidence = {"protocol": shown.protocol, "issuer": shown.issuer, "expires_at": _moment(shown.expires_at)}
        if left < CERTIFICATE_WARNING:
            advice = "Whoever runs the server has to renew it; calls fail from then on."
            return Finding(Outcome.WARNING, f"The certificate ends in {left.days} days.", evidence, advice)
        return Finding(Outcome.OK, "The certificate is valid for the host.", evidence)

    def _authenticate(self, adapter: Adapter, client: ProviderClient) -> Finding:
        identity = adapter.verify(client)
        if identity.routes and not client.is_at(adapter.manifest.vendor_origins):
            # A tenant may name any address the operator lets us call. Whose deliveries are whose only the
            # provider's own says.
            identity, self.proof.remark = replace(identity, routes=()), _NOT_ROUTED
        identity = self.proof.identity = _as_granted(self._connection, identity)
        evidence = {"account": identity.account, **identity.details}
        summary = f"The provider knows the credential as {identity.account}. {self.proof.remark}".strip()
        ends = identity.expires_at or self._connection.credential_expires_at
        if ends is None:
            return Finding(Outcome.OK, summary, evidence)
        evidence["expires_at"] = _moment(ends)
        if ends - timezone.now() < CREDENTIAL_WARNING:
            return Finding(Outcome.WARNING, f"{summary} It ends soon.", evidence, "Replace the credential in time.")
        return Finding(Outcome.OK, summary, evidence)

    def _scopes(self, adapter: Adapter) -> Finding:
        granted = self.proof.identity.scopes if self.proof.identity is not None else None
        return judged_scopes(adapter, self._connection, granted)

    def _read(self, adapter: Adapter, client: ProviderClient) -> Finding:
        if not self._connection.uses("polling"):
            return Finding(Outcome.SKIPPED, "The connection is not used for polling.")
        values = self._connection.settings
        places = ((stream, part) for stream in adapter.streams_in_use(values) for part in stream.partitions(values))
        stream, part = next(places, (None, ""))
        if stream is None:
            return Finding(Outcome.SKIPPED, "The settings name no place to read.")
        evidence = {"stream": stream.name, "place": part or "everything the credential can see"}
        # Nothing is expected since this moment, so the page is short; what it holds is left to polling.
        window = Window(since=timezone.now())
        try:
            page = stream.page(client, partition=part, settings=values, position={}, window=window)
        except QuotaSpent as spent:
            return Finding(Outcome.SKIPPED, f"Not read: {spent}", evidence)
        except ProviderError as error:
            if isinstance(error, AuthFailed) and error.of_the_credential:
                raise
            # One place says nothing of the others; polling tells each stream's trouble by itself.
            return Finding(Outcome.WARNING, str(error), evidence, ADVICE[error.category])
        return Finding(Outcome.OK, "A first page was read.", {**evidence, "items": str(len(page.events))})

    def _webhook_loop(self) -> Finding:
        if not self._connection.uses("webhook"):
            return Finding(Outcome.SKIPPED, "The connection receives no webhooks.")
        look: Callable[[IntegrationConnection], Finding] = import_string(settings.WEBHOOK_LOOP)
        return look(self._connection)


def _as_granted(connection: IntegrationConnection, identity: Identity) -> Identity:
    """With the scopes an authorisation was granted, where calls do not tell; its tokens end and are renewed."""
    granted = AccessToken.objects.of(connection).values_list("scopes", flat=True).first()
    if granted is None:
        return identity
    return replace(identity, scopes=identity.scopes or granted or None, expires_at=None)


def _ask_later(spent: QuotaSpent) -> ServiceError:
    """Nobody was asked, so nothing is known about the credential."""
    details = {"retry_after_seconds": math.ceil(spent.retry_after_seconds or 0)}
    return ServiceError("TEMPORARILY_UNAVAILABLE", f"{spent} Verify again later.", details, status=503)


def _at_most(seconds: float) -> float:
    ends = deadline()
    return seconds if ends is None else ends.allows(seconds)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _safe(text: str) -> str:
    return redact_text(text.replace("\x00", ""), emails=settings.REDACT_EMAILS)[:_MAX_TEXT]
