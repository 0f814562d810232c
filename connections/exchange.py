"""One call to a neighbouring service: bounded in time and size, never redirected, never retried once it was sent."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from providers.answers import AnswerTooLarge, PlainSession, read_body
from providers.disclosure import proofs, without
from providers.document import parse_json

MAX_ANSWER_BYTES = 1024 * 1024
CONNECT_SECONDS = 3.0

_local = threading.local()


class NoAnswer(Exception):
    """There is no answer to judge. ``unreachable``: nobody else would get one now either."""

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


@dataclass(frozen=True, slots=True)
class Answer:
    """``repr`` leaves out the body: it may be a secret. ``retry_after_seconds`` is 0 where no wish was given."""

    status: int
    content: bytes = field(repr=False)
    retry_after_seconds: float = 0.0

    def document(self) -> Any:
        """The body as JSON, ``None`` if it is none."""
        try:
            return parse_json(self.content)
        except ValueError:
            return None


def platform_session() -> requests.Session:
    """One pooled session a thread. Only unopened connections are retried; the rest is for due rows."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = PlainSession()
        session.trust_env = False
        adapter = HTTPAdapter(max_retries=Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0))
        session.mount("http://", adapter)
        session.mount("https://", adapter)
    return session


def exchange(
    method: str, url: str, headers: Mapping[str, str], body: Any = None, *, timeout_seconds: float, service: str
) -> Answer:
    """The answer, whatever its status, without the token it was asked with.

    Raises ``NoAnswer``, in words that name the ``service`` and hold no secret.
    """
    try:
        with platform_session().request(
            method,
            url,
            data=None if body is None else orjson.dumps(body),
            headers={**headers, **({} if body is None else {"Content-Type": "application/json"})},
            timeout=(min(CONNECT_SECONDS, timeout_seconds), timeout_seconds),
            allow_redirects=False,
            stream=True,
        ) as raw:
            wait = raw.headers.get("Retry-After", "")
            told = read_body(raw, max_bytes=MAX_ANSWER_BYTES, seconds=timeout_seconds)
            # A past or absurd time is no wish.
            wish = float(wait) if re.fullmatch(r"[0-9]{1,6}", wait, re.ASCII) else 0.0
            return Answer(raw.status_code, without(told, proofs(headers)), wish)
    except AnswerTooLarge:
        raise NoAnswer(f"The answer of the {service} is too large.") from None
    except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
        raise NoAnswer(f"The token for the {service} cannot be sent.") from None
    except requests.RequestException as error:
        raise NoAnswer(f"The {service} does not answer ({type(error).__name__}).", unreachable=True) from None
