"""Reading an HTTP answer of somebody else: bounded in size and in time, redirects left alone.

A time-out of requests is one of silence: a neighbour that sends a byte now and then would hold a worker
for ever, and one that never stops would take its memory.
"""

from __future__ import annotations

import time

import requests
import urllib3

_CHUNK_BYTES = 64 * 1024


class AnswerTooLarge(Exception):
    """The body is larger than was asked for."""


class PlainSession(requests.Session):
    """Leaves redirects to the caller: even when told not to follow one, requests parses it and may raise."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def read_body(answer: requests.Response, *, max_bytes: int, seconds: float) -> bytes:
    """The whole body of an answer asked for with ``stream=True``.

    Raises ``AnswerTooLarge``, or a ``requests.RequestException`` if it breaks off or is not complete
    within about ``seconds``.
    """
    ends_at = time.monotonic() + seconds
    parts: list[bytes] = []
    size = 0
    try:
        while part := answer.raw.read1(_CHUNK_BYTES, decode_content=True):
            size += len(part)
            if size > max_bytes:
                raise AnswerTooLarge
            if time.monotonic() > ends_at:
                raise requests.exceptions.ReadTimeout(f"The answer was not complete after {seconds:.0f} s.")
            parts.append(part)
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(type(error).__name__) from error
    return b"".join(parts)
