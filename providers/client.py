"""The only way out to a provider: one guarded HTTP client with one table of outcomes.

Addresses are vetted and pinned by requests-hardened (no private, loopback or link-local target, not by
redirect and not by DNS rebinding); hosts and networks in ``OUTBOUND_ALLOWED`` are the only exception, and
the only ones that may be plain http. Redirects are followed only inside the same origin, because the
request carries a credential.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.util.retry import Retry

from providers.answers import AnswerTooLarge, PlainSession, read_body
from providers.deadline import Deadline, timed_pools
from providers.document import moment_of, parse_json
from providers.errors import (
    AuthFailed,
    Misconfigured,
    OutOfTime,
    ProviderError,
    ProviderFault,
    RateLimited,
    Rejected,
    Unreachable,
)
from providers.manifest import RateLimitHeaders
from providers.outbound import DEFAULT_PORTS, OutboundPolicy

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 20.0
ANSWER_TIMEOUT_SECONDS = 60.0
MAX_RESPONSE_BYTES = 20 * 1024 * 1024
MAX_REDIRECTS = 3
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
USER_AGENT = "integration-adapters/1.0"

# Only a connection that never opened is tried again here: nothing was sent, so nothing can be done twice.
# Answers that ask for patience (429, 5xx) become errors and due rows; a worker does not sleep on them.
_CONNECT_RETRIES = Retry(
    total=2, connect=2, read=0, redirect=0, status=0, other=0, backoff_factor=0.2, respect_retry_after_header=False
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Where and as whom to call. ``headers`` may hold secrets, so ``repr`` leaves them out.

    ``classify`` sees every answer before the usual table does, for providers whose status says less than
    their body (an error told with 200, a rate limit told with 400, a redirect to a sign-in page); ``None`` leaves
    it to the table. A ``RateLimited`` without a wait gets the one the headers tell.
    ``account_path`` is where ``Adapter.verify`` asks whose credential this is, if the settings decide it.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate_limit_headers: RateLimitHeaders = field(default_factory=RateLimitHeaders)
    classify: Callable[[Response], ProviderError | None] | None = None
    account_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete answer. ``headers`` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    url: str = ""

    def json(self) -> Any:
        """The decoded body; an answer that is not JSON is the provider's fault, never "nothing there"."""
        try:
            return parse_json(self.content)
        except ValueError as error:
            raise ProviderFault("The provider's answer is not valid JSON.", status=self.status) from error

    def link(self, relation: str) -> str:
        """URL of a ``Link`` relation (RFC 8288), or an empty string."""
        for link in requests.utils.parse_header_links(self.headers.get("link", "")):
            if relation in link.get("rel", "").split():
                return str(link.get("url", ""))
        return ""


class ProviderClient:
    """HTTP calls of one connection. Use as a context manager; not shared between threads.

    ``observe`` is told the outcome of every call: ``ok`` or the category of its error. By ``deadline`` all calls
    together are over, or a few seconds later where connecting is slow: what is not complete then, or was not begun,
    is ``OutOfTime``.
    """

    def __init__(
        self,
        config: ClientConfig,
        policy: OutboundPolicy,
        observe: Callable[[str], None] | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self._config = config
        self._deadline = deadline
        self._observe = observe or (lambda _outcome: None)
        self._policy = policy
        self._base = config.base_url.rstrip("/") + "/"
        self._origin = _origin(self._base)
        if self._origin is None:
            raise Misconfigured("The base URL is not a usable address.")
        self._session = PlainSession()
        self._session.trust_env = False
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", **config.headers})
        allowed = policy.admits(self._base)
        self._session.mount("https://", _adapter(https=True, trusted=allowed, deadline=deadline))
        self._session.mount("http://", _adapter(https=False, trusted=allowed, deadline=deadline))
        self.requests_made = 0

    @property
    def account_path(self) -> str:
        return self._config.account_path

    def is_at(self, origins: Sequence[str]) -> bool:
        """Whether the calls go to one of these origins: scheme, host and port."""
        return self._origin in map(_origin, origins)

    def __enter__(self) -> ProviderClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._session.close()

    def get(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """GET below the base URL; 304 is an ordinary answer. Raises ``ProviderError``."""
        return self._send("GET", path, params=params, headers=headers)

    def post_query(self, path: str, *, json: Any, headers: Mapping[str, str] | None = None) -> Response:
        """POST that only reads, such as a search; safe to repeat. Raises ``ProviderError``."""
        return self._send("POST", path, json=json, headers=headers)

    def write(
        self,
        method: Literal["POST", "PUT", "PATCH", "DELETE"],
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A call that changes something; never repeated here once it was sent. Raises ``ProviderError``.

        ``Unreachable`` and ``ProviderFault`` leave open whether it happened: whoever calls finds out.
        """
        return self._send(method, path, json=json, headers=headers)

    def _send(self, method: str, path: str, **kwargs: Any) -> Response:
        try:
            answer = self._follow(method, path, **kwargs)
        except ProviderError as error:
            self._observe(error.category)
            raise
        self._observe("ok")
        return answer

    def _follow(self, method: str, path: str, **kwargs: Any) -> Response:
        url = _joined(self._base, path if path.startswith(("http://", "https://")) else path.lstrip("/"))
        for _ in range(MAX_REDIRECTS + 1):
            self._refuse_foreign(url)
            answer = self._exchange(method, url, **kwargs)
            self._classify(answer)
            location = answer.headers.get("location", "")
            if answer.status not in (301, 302, 307, 308) or not location:
                return self._judge(answer)
            url, kwargs["params"] = _joined(url, location), None
        raise ProviderFault("The provider redirects in a circle.")

    def _refuse_foreign(self, url: str) -> None:
        # A next-page link or redirect to another origin would carry the credential there.
        if _origin(url) != self._origin:
            raise ProviderFault("The provider points to another host; it was not followed.")
        if not url.startswith("https://") and not self._policy.admits(url):
            raise Misconfigured("The base URL must be https.")

    def _exchange(self, method: str, url: str, **kwargs: Any) -> Response:
        if self._deadline is not None and self._deadline.left() <= 0:
            raise OutOfTime("The time for this was over before the provider could be asked.")
        self.requests_made += 1
        try:
            with self._session.request(
                method,
                url,
                timeout=(self._at_most(CONNECT_TIMEOUT_SECONDS), self._at_most(READ_TIMEOUT_SECONDS)),
                allow_redirects=False,
                stream=True,
                **kwargs,
            ) as raw:
                return Response(
                    status=raw.status_code,
                    headers={k.lower(): v for k, v in raw.headers.items()},
                    content=read_body(raw, max_bytes=MAX_RESPONSE_BYTES, seconds=self._at_most(ANSWER_TIMEOUT_SECONDS)),
                    url=url,
                )
        except AnswerTooLarge:
            raise ProviderFault("The provider's answer is too large.") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            raise Misconfigured("The base URL is not a usable address.") from None
        except (requests.exceptions.InvalidHeader, UnicodeError):
            raise Misconfigured("The credential holds characters that cannot be sent.") from None
        except requests.exceptions.RequestException as error:
            if type(error).__name__ == "InvalidIPAddress":
                raise Misconfigured("The base URL leads to a private address, which is not allowed.") from None
            if self._deadline is not None and self._deadline.left() <= 0:
                raise OutOfTime("The provider did not answer completely in the time allowed.") from None
            # The original text may hold the URL; only its kind is passed on.
            raise Unreachable(f"No answer from the provider ({type(error).__name__}).") from None

    def _at_most(self, seconds: float) -> float:
        return seconds if self._deadline is None else self._deadline.allows(seconds)

    def _classify(self, answer: Response) -> None:
        special = self._config.classify(answer) if self._config.classify is not None else None
        if isinstance(special, RateLimited) and special.retry_after_seconds is None:
            special.retry_after_seconds = _retry_after(answer) or self._quota_reset(answer)
        if special is not None:
            raise special

    def _judge(self, answer: Response) -> Response:
        """The table of outcomes: below 300 and 304 return, the rest raise."""
        status = answer.status
        if status < 300 or status == 304:
            return answer
        wait = _retry_after(answer)
        if status == 429 or (status == 403 and self._says_throttled(answer)):
            # Only here: a quota's reset is told with every answer, and a fault passes sooner.
            wait = wait if "retry-after" in answer.headers else self._quota_reset(answer)
            raise RateLimited("The provider's rate limit is reached.", status=status, retry_after_seconds=wait)
        if status in (401, 403):
            raise AuthFailed(f"The provider refused the credential ({status}).", status=status)
        if status == 408 or status >= 500:
            raise ProviderFault(f"The provider failed ({status}).", status=status, retry_after_seconds=wait)
        raise Rejected(f"The provider refused the request ({status}).", status=status)

    def _says_throttled(self, answer: Response) -> bool:
        remaining = self._config.rate_limit_headers.remaining
        return "retry-after" in answer.headers or bool(remaining and answer.headers.get(remaining) == "0")

    def _quota_reset(self, answer: Response) -> float | None:
        """Seconds until the quota is whole again, in the form the provider's manifest names."""
        limits, now = self._config.rate_limit_headers, time.time()
        reset = answer.headers.get(limits.reset, "")
        if limits.reset_format == "iso8601":
            moment = moment_of(reset)
            return _as_wait(moment.timestamp() - now if moment else None)
        if not (reset.isascii() and reset.isdigit()):
            return None
        if limits.reset_format == "delta_seconds":
            return _as_wait(float(reset))
        return _as_wait(float(reset) / (1000 if limits.reset_format == "epoch_milliseconds" else 1) - now)


def _retry_after(answer: Response) -> float | None:
    """Seconds to wait: Retry-After in either form (RFC 9110, 10.2.3)."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return _as_wait(float(value))
    date = _http_date(value) if value else None
    return _as_wait(date - time.time() if date is not None else None)


def _as_wait(seconds: float | None) -> float | None:
    # Zero or a past time is no hint, not an invitation to try at once.
    return min(seconds, MAX_RETRY_AFTER_SECONDS) if seconds and seconds > 0 else None


def _adapter(*, https: bool, trusted: bool, deadline: Deadline | None) -> HTTPAdapter:
    adapter = HTTPAdapter() if trusted else IPFilterAdapter(is_https_proto=https)
    if deadline is None:
        adapter.max_retries = _CONNECT_RETRIES
    else:
        # Somebody waits, and either asks again or a task does: no pauses and no second tries under a deadline.
        adapter.poolmanager.pool_classes_by_scheme = timed_pools(deadline)
    return adapter


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and effective port (RFC 6454), or ``None`` if the URL has none that could be called."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname.lower(), port) if parts.hostname else None


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        raise ProviderFault("The provider points to an address that cannot be read.") from None


def _http_date(value: str) -> float | None:
    try:
        parsed = email.utils.parsedate_tz(value)
        return float(email.utils.mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError):
        return None
