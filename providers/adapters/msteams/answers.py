"""What Microsoft Graph says of a refusal.

https://learn.microsoft.com/en-us/graph/errors
"""

from __future__ import annotations

from providers.client import Response
from providers.document import Document, parse_json
from providers.errors import LacksAccess, ProviderError

_IMPORTS_ONLY = "application-only context"


def refusal(answer: Response) -> ProviderError | None:
    """The one refusal its status tells wrongly: an application that posts gets 401, though its token is good."""
    if answer.status == 401 and _IMPORTS_ONLY in words(answer):
        return LacksAccess(
            "Microsoft Graph lets an application post only to import old messages; a person's token is needed.",
            status=answer.status,
            code="Unauthorized",
        )
    return None


def words(answer: Response) -> str:
    """``BadRequest: Invalid request body.``, or empty."""
    try:
        error = Document(parse_json(answer.content))
    except ValueError:
        return ""
    return ": ".join(filter(None, (error.text("/error/code"), error.text("/error/message"))))
