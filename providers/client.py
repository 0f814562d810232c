"""The only way out to a provider: one guarded HTTP client with one table of outcomes.

Addresses are vetted and pinned by requests-hardened (no private, loopback or link-local target, not by
redirect and not by DNS rebinding); hosts and networks in ``OUTBOUND_ALLOWED`` are the only exception, and
the only ones that may be plain http. Redirects are followed only inside the same origin, because the
request carries a credential.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError
from urllib3.util.retry import Retry

from providers.addresses import PublicOnlyAdapter
from providers.answers import AnswerTooLarge, PlainSession, read_body
from providers.deadline import Deadline, timed_pools
from providers.disclosure import proofs, shown_headers, told, without
from providers.document import parse_json
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
from providers.outbound import OutboundPolicy, origin_of
from providers.quotas import RateLimitHeaders
from providers.redaction import redact_text
from providers.waits import retry_after, share_left, until_reset

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 20.0
ANSWER_TIMEOUT_SECONDS = 60.0
MAX_RESPONSE_BYTES = 20 * 1024 * 1024
MAX_REDIRECTS = 3
# Redirects after which the same request goes to the new address (RFC 9110, section 15.4).
_KEEPS_METHOD = frozenset({307, 308})
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
    ``explain`` finds in an answer that refuses what the provider says of the reason: text from outside, for people,
    which is cut and redacted here (``ProviderError.told``).
    ``account_path`` is where ``Adapter.verify`` asks whose credential this is, if the settings decide it.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate_limit_headers: RateLimitHeaders = field(default_factory=RateLimitHeaders)
    classify: Callable[[Response], ProviderError | None] | None = None
    explain: Callable[[Response], str] | None = None
    account_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete answer, without our own credential wherever it was repeated. ``headers`` has lower-case names."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
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


class Passage(Protocol):
    """A call that was let through. Told exactly once how it ended, and never raises."""

    def answered(self, status: int, headers: Mapping[str, str], *, limited: bool) -> None:
        """It was answered; ``limited``: the provider refused it for its rate limits. Header names are lower case."""

    def unanswered(self, *, sent: bool) -> None:
        """No usable answer came; ``sent`` false: the provider never saw the request."""


class Gate(Protocol):
    """Decides over every single request before it is sent."""

    def enter(self, method: str, path: str) -> Passage:
        """Let a request to this path of the URL pass. Raises ``QuotaSpent``; may pause for a moment first."""


class ProviderClient:
    """HTTP calls of one connection. Use as a context manager; not shared between threads.

    ``observe`` is told the outcome of every call: ``ok`` or the category of its error. By ``deadline`` all calls
    together are over, or a few seconds later where connecting is slow: what is not complete then, or was not begun,
    is ``OutOfTime``. Each request passes the ``gate`` first, a redirect's too. ``renew`` is asked for the headers of a
    newer credential when the one in use is refused. ``quota_left`` is the share of the
    provider's quota that is left, and ``asked_to_wait`` the seconds of a Retry-After, if the last answer told it.
    """

    def __init__(
        self,
        config: ClientConfig,
        policy: OutboundPolicy,
        observe: Callable[[str], None] | None = None,
        deadline: Deadline | None = None,
        gate: Gate | None = None,
        renew: Callable[[], Mapping[str, str] | None] | None = None,
    ) -> None:
        self._config = config
        self._renew = renew
        self._gate = gate
        self._deadline = deadline
        # Without a deadline each answer has a time of its own, its headers included.
        self._answer_by = deadline or Deadline(ANSWER_TIMEOUT_SECONDS)
        self._observe = observe or (lambda _outcome: None)
        self._policy = policy
        self._base = config.base_url.rstrip("/") + "/"
        self._origin = origin_of(self._base)
        if self._origin is None:
            raise Misconfigured("The base URL is not a usable address.")
        self._session = PlainSession()
        self._session.trust_env = False
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", **config.headers})
        allowed = policy.admits(self._base)
        for scheme in ("https", "http"):
            adapter = HTTPAdapter() if allowed else PublicOnlyAdapter(is_https_proto=scheme == "https")
            adapter.poolmanager.pool_classes_by_scheme = timed_pools(self._answer_by)
            # Under a deadline somebody waits, and either asks again or a task does: no pauses, no second tries.
            if deadline is None:
                adapter.max_retries = _CONNECT_RETRIES
            self._session.mount(f"{scheme}://", adapter)
        self.requests_made = 0
        self.quota_left: float | None = None
        self.asked_to_wait: float | None = None
        self._sent = False

    @property
    def base_url(self) -> str:
        """Where the calls go, with a slash at its end."""
        return self._base

    @property
    def account_path(self) -> str:
        return self._config.account_path

    def is_at(self, origins: Sequence[str]) -> bool:
        """Whether the calls go to one of these origins: scheme, host and port."""
        return self._origin in map(origin_of, origins)

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
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        lane: str = "",
    ) -> Response:
        """A call that changes something; never repeated here once it was sent. Raises ``ProviderError``.

        ``Unreachable`` and ``ProviderFault`` that were ``sent`` leave open whether it happened: whoever calls finds
        out. ``lane`` names what quotas count it by where the path does not: they see ``path#lane``.
        """
        return self._send(method, path, json=json, data=form, headers=headers, lane=lane, writes=True)

    def preview(self, path: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """The URL a call to ``path`` would go to and the headers it would carry, those that prove who asks hidden."""
        url = _below(self._base, path)
        return redact_text(url), shown_headers({**dict(self._session.headers), **headers})

    def _send(self, method: str, path: str, *, writes: bool = False, **kwargs: Any) -> Response:
        try:
            answer = self._as_allowed(method, path, writes=writes, **kwargs)
        except ProviderError as error:
            self._observe(error.category)
            raise
        self._observe("ok")
        return answer

    def _as_allowed(self, method: str, path: str, **kwargs: Any) -> Response:
        """A call refused with its credential was not done, so it is made once more where there is a newer one."""
        try:
            return self._follow(method, path, **kwargs)
        except AuthFailed as refused:
            headers = self._renew() if self._renew is not None and refused.of_the_credential else None
            if headers is None:
                raise
        self._session.headers.update(headers)
        return self._follow(method, path, **kwargs)

    def _follow(self, method: str, path: str, *, writes: bool, **kwargs: Any) -> Response:
        url = path if path.startswith(("http://", "https://")) else _below(self._base, path)
        for _ in range(MAX_REDIRECTS + 1):
            self._refuse_foreign(url)
            answer = self._pass(method, url, **kwargs)
            if not _redirects(answer):
                return answer
            if writes and answer.status not in _KEEPS_METHOD:
                # Elsewhere a GET would follow, so nothing was done here: mostly a page to sign in at.
                raise Rejected(f"The provider answered with another address ({answer.status}).", status=answer.status)
            url, kwargs["params"] = _joined(url, answer.headers["location"]), None
        raise ProviderFault("The provider redirects in a circle.")

    def _pass(self, method: str, url: str, *, lane: str = "", **kwargs: Any) -> Response:
        """One exchange, through the gate, which learns from it. Raises what the answer means."""
        counted_as = urlsplit(url).path + (f"#{lane}" if lane else "")
        passage = self._gate.enter(method, counted_as) if self._gate is not None else None
        self._sent = False
        try:
            answer = self._exchange(method, url, **kwargs)
            error = self._refusal(answer)
        except BaseException as broken:
            if isinstance(broken, ProviderError):
                broken.sent = self._sent
            if passage is not None:
                passage.unanswered(sent=self._sent)
            raise
        self.quota_left = share_left(self._config.rate_limit_headers, answer.headers)
        self.asked_to_wait = retry_after(answer.headers)
        if passage is not None:
            passage.answered(answer.status, answer.headers, limited=isinstance(error, RateLimited))
        if error is not None:
            error.sent, error.told = True, self._told(answer)
            raise error
        return answer

    def _told(self, answer: Response) -> str:
        """The provider's own words for a refusal, safe to show; nothing where they cannot be read."""
        if self._config.explain is None:
            return ""
        try:
            words = self._config.explain(answer)
        except (ProviderError, ValueError):
            return ""
        return told(words, self._session.headers)

    def _refuse_foreign(self, url: str) -> None:
        # A next-page link or redirect to another origin would carry the credential there.
        if origin_of(url) != self._origin:
            raise ProviderFault("The provider points to another host; it was not followed.")
        if not url.startswith("https://") and not self._policy.admits(url):
            raise Misconfigured("The base URL must be https.")

    def _exchange(self, method: str, url: str, **kwargs: Any) -> Response:
        if self._deadline is not None and self._deadline.left() <= 0:
            raise OutOfTime("The time for this was over before the provider could be asked.")
        if self._deadline is None:
            self._answer_by.begin(ANSWER_TIMEOUT_SECONDS)
        self.requests_made += 1
        self._sent = True
        try:
            with self._session.request(
                method,
                url,
                timeout=(self._at_most(CONNECT_TIMEOUT_SECONDS), self._at_most(READ_TIMEOUT_SECONDS)),
                allow_redirects=False,
                stream=True,
                **kwargs,
            ) as raw:
                body = read_body(raw, max_bytes=MAX_RESPONSE_BYTES, seconds=self._at_most(ANSWER_TIMEOUT_SECONDS))
                ours = proofs(self._session.headers)
                return Response(
                    status=raw.status_code,
                    headers={name.lower(): _without(value, ours) for name, value in raw.headers.items()},
                    content=without(body, ours),
                    url=url,
                )
        except AnswerTooLarge:
            raise ProviderFault("The provider's answer is too large.") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            self._sent = False
            raise Misconfigured("The base URL is not a usable address.") from None
        except (requests.exceptions.InvalidHeader, UnicodeError):
            self._sent = False
            raise Misconfigured("The credential holds characters that cannot be sent.") from None
        except requests.exceptions.RequestException as error:
            self._sent = not _never_opened(error)
            if type(error).__name__ == "InvalidIPAddress":
                raise Misconfigured("The base URL leads to a private address, which is not allowed.") from None
            if self._deadline is not None and self._deadline.left() <= 0:
                raise OutOfTime("The provider did not answer completely in the time allowed.") from None
            # The original text may hold the URL; only its kind is passed on.
            raise Unreachable(f"No answer from the provider ({type(error).__name__}).") from None

    def _at_most(self, seconds: float) -> float:
        return seconds if self._deadline is None else self._deadline.allows(seconds)

    def _refusal(self, answer: Response) -> ProviderError | None:
        """What the answer means if it is no success: the provider's own words first, then the table."""
        special = self._config.classify(answer) if self._config.classify is not None else None
        if isinstance(special, RateLimited) and special.retry_after_seconds is None:
            special.retry_after_seconds = retry_after(answer.headers) or self._quota_reset(answer)
        return special or self._by_status(answer)

    def _by_status(self, answer: Response) -> ProviderError | None:
        """The table of outcomes: below 300, 304 and redirects are none."""
        status = answer.status
        if status < 300 or status == 304 or _redirects(answer):
            return None
        wait = retry_after(answer.headers)
        if status == 429 or (status == 403 and self._says_throttled(answer)):
            # Only here: a quota's reset is told with every answer, and a fault passes sooner.
            wait = wait if "retry-after" in answer.headers else self._quota_reset(answer)
            return RateLimited("The provider's rate limit is reached.", status=status, retry_after_seconds=wait)
        if status in (401, 403):
            return AuthFailed(f"The provider refused the credential ({status}).", status=status)
        if status == 408 or status >= 500:
            return ProviderFault(f"The provider failed ({status}).", status=status, retry_after_seconds=wait)
        return Rejected(f"The provider refused the request ({status}).", status=status)

    def _quota_reset(self, answer: Response) -> float | None:
        return until_reset(self._config.rate_limit_headers, answer.headers)

    def _says_throttled(self, answer: Response) -> bool:
        remaining = self._config.rate_limit_headers.remaining
        return "retry-after" in answer.headers or bool(remaining and answer.headers.get(remaining) == "0")


def _redirects(answer: Response) -> bool:
    return answer.status in (301, 302, 307, 308) and bool(answer.headers.get("location"))


def _never_opened(error: requests.exceptions.RequestException) -> bool:
    """Whether there was no connection on which anything could have been sent."""
    if isinstance(error, requests.exceptions.ConnectTimeout) or type(error).__name__ == "InvalidIPAddress":
        return True
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    # A certificate is checked before anything is sent.
    unproven = isinstance(next(iter(getattr(reason, "args", ())), None), ssl.SSLCertVerificationError)
    return unproven or isinstance(reason, NewConnectionError)


def _below(base: str, path: str) -> str:
    """The URL of a path below the base. Names in it come from settings and commands: none may lead out of its place."""
    if any(unquote(segment) in (".", "..") for segment in urlsplit(path).path.split("/")):
        raise Rejected("A name in the request is . or .., which is no name.")
    return _joined(base, path.lstrip("/"))


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        raise ProviderFault("The provider points to an address that cannot be read.") from None


def _without(value: str, secrets: Sequence[str]) -> str:
    return without(value.encode("latin-1", "replace"), secrets).decode("latin-1")
