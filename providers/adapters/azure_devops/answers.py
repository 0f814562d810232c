"""What answers of Azure DevOps mean beyond their status, and its own words for a refusal."""

from __future__ import annotations

from providers.client import Response
from providers.document import Document, parse_json
from providers.errors import AuthFailed, ProviderError, ProviderFault

_WORK_ITEM = "/_apis/wit/workitems/"


def classify(answer: Response) -> ProviderError | None:
    """A bad token is often answered with a sign-in page: 203, a redirect, or 200 with HTML."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status in (203, 302) or (answer.status < 300 and kind == "text/html"):
        return AuthFailed(
            "Azure DevOps answers with its sign-in page: the token is wrong, expired or not for this organisation.",
            status=answer.status,
        )
    if answer.status == 403 and b"TF400813" in answer.content:
        return AuthFailed(
            "Azure DevOps refuses the token (403, TF400813): the account lacks access, or a policy forbids the token.",
            status=answer.status,
        )
    if answer.status in (409, 412) and _WORK_ITEM in answer.url:
        # Which of the two is not documented. Nothing was done; what is asked for is worked out anew.
        return ProviderFault("The work item was changed at the same moment.", status=answer.status)
    return None


def explain(answer: Response) -> str:
    """``{"message": "TF401179: …"}``."""
    try:
        body = Document(parse_json(answer.content))
    except ValueError:
        return ""
    return body.text("/message") or ""
