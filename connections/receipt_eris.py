"""HTTP client of the evidence service (ERIS)."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from connections.exchange import Answer, NoAnswer, exchange
from connections.models import Receipt
from connections.outbox import NotTaken
from connections.platform import platform_headers
from connections.secret_store import SecretsUnreachable
from providers.redaction import redact_text

# Nothing but an answer about the receipt itself is a last word on it.
_ABOUT_THE_RECEIPT = (400, 413, 422)
_IN_TROUBLE = (429, 502, 503, 504)


class EvidenceService:
    """Takes receipts. A receipt may be sent again: it keeps its id."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._base_url = base_url
        self._timeout = timeout_seconds

    def ingest(self, receipt: Receipt) -> None:
        """Send one receipt, with a token of its tenant. Raises ``NotTaken``."""
        try:
            headers = platform_headers(receipt.tenant_id, "eris")
        except SecretsUnreachable as error:
            raise NotTaken(str(error), for_tenant=True) from None
        try:
            answer = exchange(
                "POST",
                f"{self._base_url}/v1/evidence/receipts",
                headers,
                receipt.body,
                timeout_seconds=self._timeout,
                service="evidence service",
            )
        except NoAnswer as error:
            raise NotTaken(str(error), for_all=error.unreachable) from None
        if answer.status not in (200, 201):
            raise _refused(answer)
        document = answer.document()
        if not isinstance(document, dict) or document.get("receipt_id") != str(receipt.receipt_id):
            raise NotTaken("The evidence service's answer is not understood.")


def evidence_service() -> EvidenceService | None:
    """The configured service; ``None``: the table is the evidence."""
    if not settings.ERIS_SERVICE_URL:
        return None
    return EvidenceService(settings.ERIS_SERVICE_URL, settings.ERIS_TIMEOUT_SECONDS)


def _refused(answer: Answer) -> NotTaken:
    status, told = answer.status, _error_of(answer)
    retryable, words = told.get("retryable"), f"{_text(told.get('code'))} {_text(told.get('message'))}".strip()
    message = f"The evidence service did not take the receipt ({status}). {words}".strip()
    if status in (401, 403):
        return NotTaken(f"{message} Its token for the tenant is not accepted.", for_tenant=True)
    if status in _ABOUT_THE_RECEIPT:
        return NotTaken(message, final=retryable is not True)
    # 500 may be the fault of one receipt; the others are tried all the same.
    return NotTaken(message, for_all=status in _IN_TROUBLE, retry_after_seconds=answer.retry_after_seconds)


def _error_of(answer: Answer) -> dict[str, Any]:
    document = answer.document()
    detail = document.get("detail") if isinstance(document, dict) else None
    error = detail.get("error") if isinstance(detail, dict) else None
    return error if isinstance(error, dict) else {}


def _text(value: Any) -> str:
    return redact_text(value[:400], emails=True).replace("\x00", "")[:200] if isinstance(value, str) else ""
