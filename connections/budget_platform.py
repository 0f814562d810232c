"""HTTP client of the platform's budget service (M35).

A run asks twice: whether the tenant's budget still has the cost of it, then for one unit of the rate limit, which
that answer spends. The cost of a request is 1. What was used is told afterwards by a thread of its own, because
nobody shall wait for it; what does not fit into its queue, or is not taken, is counted and forgotten.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from datetime import UTC, datetime
from typing import Any

import orjson
import requests
import structlog
from cachetools import TTLCache
from django.db import Error as DatabaseError

from connections.budget_port import Decision, is_poll, refused, unreachable
from connections.exchange import platform_session
from connections.metrics import USAGE_NOT_RECORDED
from connections.platform import platform_headers
from connections.secret_port import REMEMBERED_SECONDS, SecretsUnreachable
from providers.answers import AnswerTooLarge, read_body
from providers.disclosure import proofs, without
from providers.document import moment_of, parse_json
from providers.redaction import redact_text

log = structlog.get_logger(__name__)

SERVICE_NAME = "integration-adapters"
MAX_ANSWER_BYTES = 64 * 1024
# A budget that is used up changes when a person raises it or a period begins, a throttle much sooner.
SPENT_RETRY_SECONDS = 300.0
THROTTLED_RETRY_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 24 * 3600.0
# After a failure nobody asks for so long: hundreds of runs need not wait for the same time-out.
REST_SECONDS = 5.0
QUEUE_SIZE = 1000


class _Unavailable(Exception):
    """No answer that says anything; the text names the cause. ``for_all``: no other tenant would get one either."""

    def __init__(self, message: str, *, for_all: bool = False) -> None:
        super().__init__(message)
        self.for_all = for_all


class PlatformBudget:
    """One for each process; threads may share it."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._base_url = base_url
        self._timeout = timeout_seconds
        self._rests_until = 0.0
        self._headers: TTLCache[str, dict[str, str]] = TTLCache(maxsize=1000, ttl=REMEMBERED_SECONDS)
        self._lock = threading.Lock()
        self._untold: queue.Queue[tuple[dict[str, str], dict[str, Any]]] = queue.Queue(QUEUE_SIZE)
        self._teller: threading.Thread | None = None

    def ask(self, tenant_id: str, resource_type: str, resource_key: str, *, spare: bool = False) -> Decision:
        # The platform's lowest priority is that of every poll.
        if time.monotonic() < self._rests_until:
            return unreachable(tenant_id, resource_type, "it did not answer just now")
        try:
            headers = self._headers_of(tenant_id)
            return self._budget(headers, tenant_id, resource_type, resource_key) or self._rate(
                headers, tenant_id, resource_type, resource_key
            )
        except _Unavailable as error:
            if error.for_all:
                self._rests_until = time.monotonic() + REST_SECONDS
            with self._lock:
                self._headers.pop(tenant_id, None)
            return unreachable(tenant_id, resource_type, str(error))

    def record(self, tenant_id: str, resource_type: str, resource_key: str, requests: int) -> None:
        body = {
            "tenant_id": tenant_id,
            "resource_type": resource_type,
            "cost_amount": requests,
            "usage_quantity": requests,
            "usage_unit": "requests",
            "service_name": SERVICE_NAME,
            "tags": {"connection_id": resource_key},
        }
        try:
            self._untold.put_nowait((self._headers_of(tenant_id), body))
        except (queue.Full, DatabaseError, _Unavailable) as error:
            USAGE_NOT_RECORDED.labels(tenant_id, "not_sent").inc()
            log.warning("usage_not_recorded", tenant_id=tenant_id, cause=type(error).__name__)
            return
        self._keep_telling()

    def _budget(
        self, headers: dict[str, str], tenant_id: str, resource_type: str, resource_key: str
    ) -> Decision | None:
        """``None``: the budget allows it."""
        body = {
            "tenant_id": tenant_id,
            "resource_type": resource_type,
            "estimated_cost": 1,
            "operation_context": {"connection_id": resource_key},
            "allocated_to_type": "tenant",
            "allocated_to_id": tenant_id,
        }
        answer = self._post("/budget/v1/budgets/check", headers, body)
        if _allowed(answer):
            return None
        throttled = answer.get("enforcement_action") == "throttle"
        wait = THROTTLED_RETRY_SECONDS if throttled else SPENT_RETRY_SECONDS
        told = redact_text(str(answer.get("message") or ""))[:200]
        return refused(tenant_id, resource_type, f"The platform's budget does not allow it. {told}".strip(), wait)

    def _rate(self, headers: dict[str, str], tenant_id: str, resource_type: str, resource_key: str) -> Decision:
        body = {
            "tenant_id": tenant_id,
            "resource_type": resource_type,
            "request_count": 1,
            "priority": "low" if is_poll(resource_type) else "normal",
            "resource_key": resource_key,
        }
        answer = self._post("/budget/v1/rate-limits/check", headers, body)
        if _allowed(answer):
            return Decision(allowed=True)
        return refused(tenant_id, resource_type, "The platform's rate limit is reached.", _wait(answer))

    def _post(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        status, content = self._exchange(path, headers, body)
        if status != 200:
            raise _Unavailable(f"it answered {status}", for_all=status >= 500)
        try:
            answer = parse_json(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise _Unavailable("its answer is not understood")
        return answer

    def _exchange(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        try:
            with platform_session().post(
                self._base_url + path,
                data=orjson.dumps(body),
                headers={**headers, "Content-Type": "application/json"},
                timeout=(min(1.0, self._timeout), self._timeout),
                allow_redirects=False,
                stream=True,
            ) as raw:
                content = read_body(raw, max_bytes=MAX_ANSWER_BYTES, seconds=self._timeout)
                return raw.status_code, without(content, proofs(headers))
        except AnswerTooLarge:
            raise _Unavailable("its answer is too large") from None
        except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
            raise _Unavailable("the tenant's token cannot be sent") from None
        except requests.RequestException as error:
            raise _Unavailable(type(error).__name__, for_all=True) from None

    def _headers_of(self, tenant_id: str) -> dict[str, str]:
        with self._lock:
            known: dict[str, str] | None = self._headers.get(tenant_id)
        if known is None:
            try:
                known = platform_headers(tenant_id, "budget")
            except SecretsUnreachable as error:
                raise _Unavailable(str(error)) from None
            with self._lock:
                self._headers[tenant_id] = known
        return known

    def _keep_telling(self) -> None:
        # A process that was forked has the queue, but not the thread.
        with self._lock:
            if self._teller is None or not self._teller.is_alive():
                self._teller = threading.Thread(target=self._tell, name="budget usage", daemon=True)
                self._teller.start()

    def _tell(self) -> None:
        while True:
            headers, body = self._untold.get()
            try:
                status, _ = self._exchange("/budget/v1/cost-tracking/record", headers, body)
                cause = "" if status in (200, 201, 202) else f"it answered {status}"
            except _Unavailable as error:
                cause = str(error)
            if cause:
                USAGE_NOT_RECORDED.labels(body["tenant_id"], "not_taken").inc()
                log.warning("usage_not_recorded", tenant_id=body["tenant_id"], cause=cause)


def _allowed(answer: dict[str, Any]) -> bool:
    allowed = answer.get("allowed")
    if not isinstance(allowed, bool):
        raise _Unavailable("its answer is not understood")
    return allowed


def _wait(answer: dict[str, Any]) -> float:
    """Seconds until the limit has room, by ``retry_after``, else by ``reset_time``; a past one is no hint."""
    wait: Any = answer.get("retry_after")
    if not isinstance(wait, int | float) or isinstance(wait, bool) or not math.isfinite(wait) or wait <= 0:
        reset = moment_of(answer.get("reset_time"))
        wait = (reset - datetime.now(UTC)).total_seconds() if reset else 0.0
    return min(float(wait), LONGEST_WAIT_SECONDS) if wait > 0 else THROTTLED_RETRY_SECONDS
