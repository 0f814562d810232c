"""The port to the ingestion service (PM-3), and its two forms: over HTTP, or kept here.

PM-3 answers 200 even if it took nothing, so each result is read. Its calls take one tenant a request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson
import requests
from django.conf import settings

from connections.exchange import platform_session
from connections.platform import platform_headers
from connections.secret_store import SecretsUnreachable
from events.envelope import SCHEMA_VERSION
from events.mapping import Sealed
from providers.answers import AnswerTooLarge, read_body
from providers.disclosure import proofs, without
from providers.document import parse_json
from providers.redaction import redact_text

MAX_SIGNALS_A_REQUEST = 1000
MAX_RATE_PER_MINUTE = 6000
MAX_ANSWER_BYTES = 16 * 1024 * 1024
PRODUCER_REFUSED = "PRODUCER_REGISTRATION"
_DUPLICATE = "Duplicate signal discarded"
# Worth another try as they stand.
_RETRYABLE = frozenset({"ROUTING_ERROR", "DOWNSTREAM_ERROR", "RATE_LIMIT_EXCEEDED", "QUOTA_EXCEEDED"})
# Mended by registering the producer again.
_UNREGISTERED = frozenset({"PRODUCER_NOT_REGISTERED", "SIGNAL_TYPE_NOT_ALLOWED"})

Outcome = Literal["delivered", "retry", "register", "dead"]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one signal. ``code`` is from a closed set; ``message`` is redacted."""

    outcome: Outcome
    code: str = ""
    message: str = ""


class ForwardingFailed(Exception):
    """The whole request failed. ``retryable`` false means this very request can never succeed."""

    def __init__(self, code: str, message: str, *, retryable: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes


class Forwarder(Protocol):
    """What a place that takes signals must offer."""

    needs_producers: bool

    def register(self, tenant_id: str, producer_id: str, name: str, signal_types: Sequence[str]) -> None:
        """Make a connection known as a producer of these types. Raises ``ForwardingFailed``."""

    def send(self, tenant_id: str, signals: Sequence[Sealed]) -> list[Result]:
        """Hand over signals of one tenant; a result each, in order. Raises ``ForwardingFailed``."""


class KeptForwarder:
    """No ingestion service configured: the row itself keeps the envelope, readable through the events API."""

    needs_producers = False

    def register(self, tenant_id: str, producer_id: str, name: str, signal_types: Sequence[str]) -> None:
        return None

    def send(self, tenant_id: str, signals: Sequence[Sealed]) -> list[Result]:
        return [Result("delivered")] * len(signals)


class Pm3Forwarder:
    """HTTP client of the ingestion service."""

    needs_producers = True

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._base_url = base_url
        self._timeout = timeout_seconds

    def register(self, tenant_id: str, producer_id: str, name: str, signal_types: Sequence[str]) -> None:
        types = sorted(signal_types)
        producer = {
            "producer": {
                "producer_id": producer_id,
                "name": name,
                "plane": "tenant_cloud",
                "owner": tenant_id,
                "allowed_signal_kinds": ["event"],
                "allowed_signal_types": types,
                "contract_versions": dict.fromkeys(types, SCHEMA_VERSION),
                "max_rate_per_minute": MAX_RATE_PER_MINUTE,
                "schema_version": SCHEMA_VERSION,
            }
        }
        body = orjson.dumps(producer)
        answer = self._call("POST", "/v1/producers/register", tenant_id, body)
        if answer.status == 400:  # known already: the update carries the new types
            answer = self._call("PUT", f"/v1/producers/{producer_id}", tenant_id, body)
        if answer.status not in (200, 201):
            raise ForwardingFailed(
                PRODUCER_REFUSED,
                f"The ingestion service did not register the producer ({answer.status}).",
                retryable=True,
            )

    def send(self, tenant_id: str, signals: Sequence[Sealed]) -> list[Result]:
        body = b'{"signals":[' + b",".join(signal.text for signal in signals) + b"]}"
        answer = self._call("POST", "/v1/signals/ingest", tenant_id, body)
        if answer.status != 200:
            raise ForwardingFailed(
                f"HTTP_{answer.status}",
                f"The ingestion service refused the request ({answer.status}).",
                retryable=answer.status not in (400, 413, 422),
            )
        try:
            results = {str(item["signal_id"]): item for item in parse_json(answer.content)["results"]}
        except (ValueError, KeyError, TypeError):
            raise ForwardingFailed(
                "UNREADABLE", "The ingestion service's answer is not understood.", retryable=True
            ) from None
        return [_judge(results.get(signal.envelope["signal_id"])) for signal in signals]

    def _call(self, method: str, path: str, tenant_id: str, body: bytes) -> _Answer:
        try:
            headers = platform_headers(tenant_id, "pm3")
            with platform_session().request(
                method,
                self._base_url + path,
                data=body,
                headers={**headers, "Content-Type": "application/json"},
                timeout=(min(3.0, self._timeout), self._timeout),
                allow_redirects=False,
                stream=True,
            ) as raw:
                status, wait = raw.status_code, raw.headers.get("Retry-After", "")
                content = without(read_body(raw, max_bytes=MAX_ANSWER_BYTES, seconds=self._timeout), proofs(headers))
        except AnswerTooLarge:
            raise ForwardingFailed(
                "UNREADABLE", "The ingestion service's answer is too large.", retryable=True
            ) from None
        except SecretsUnreachable as error:
            raise ForwardingFailed("TOKEN_UNREACHABLE", str(error), retryable=True) from None
        except requests.RequestException as error:
            raise ForwardingFailed(
                "UNREACHABLE", f"The ingestion service does not answer ({type(error).__name__}).", retryable=True
            ) from None
        if status == 429 or status >= 500:
            raise ForwardingFailed(
                f"HTTP_{status}",
                f"The ingestion service cannot take signals now ({status}).",
                retryable=True,
                # A past or absurd time is no wish.
                retry_after_seconds=float(wait) if re.fullmatch(r"[0-9]{1,6}", wait, re.ASCII) else None,
            )
        return _Answer(status, content)


def forwarder() -> Forwarder:
    """The configured place for signals."""
    if settings.PM3_SERVICE_URL:
        return Pm3Forwarder(settings.PM3_SERVICE_URL, settings.PM3_TIMEOUT_SECONDS)
    return KeptForwarder()


def _judge(result: Any) -> Result:
    if not isinstance(result, dict):
        return Result("retry", "NO_RESULT", "The ingestion service gave no result for this signal.")
    status, code = result.get("status"), result.get("error_code")
    if not isinstance(status, str) or not isinstance(code, str | None):
        return Result("retry", "UNREADABLE", "The ingestion service's result for this signal is not understood.")
    code = _told(code, 60) or None
    message = _told(result.get("error_message"), 500)
    if status == "accepted" or (status == "rejected" and code is None and message == _DUPLICATE):
        return Result("delivered")
    if status == "dlq":
        kept_as = _told(result.get("dlq_id"), 100)
        return Result("dead", code or "DLQ", f"Kept in the ingestion service's dead letters as {kept_as}. {message}")
    if code in _UNREGISTERED:
        return Result("register", code, message)
    if code in _RETRYABLE:
        return Result("retry", code, message)
    return Result("dead", code or "REJECTED", message or "The ingestion service rejected the signal.")


def _told(value: Any, limit: int) -> str:
    """Their words as we may keep them: redacted, short, and without NUL, which the database cannot hold."""
    text = "" if value is None else str(value)
    return redact_text(text[: 10 * limit].replace("\x00", ""))[:limit]
