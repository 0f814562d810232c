"""What answers of Confluence mean beyond their status, and its own words for a refusal."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from providers.client import Response
from providers.document import Document, parse_json
from providers.errors import ProviderError, ProviderFault

_PAGE: Final = re.compile(r"/api/v2/pages/[0-9]+$")


def classify(answer: Response) -> ProviderError | None:
    """A version of a page that is there already: somebody was faster, or an attempt of our own was slow.

    Nothing was done; which of the two it is shows in the page's versions, and what is asked for is worked out anew.
    """
    if answer.status == 409 and _PAGE.search(urlsplit(answer.url).path):
        return ProviderFault("The page was changed at the same moment.", status=answer.status)
    return None


def explain(answer: Response) -> str:
    """REST v2 tells a list of errors with titles and details, v1 one message."""
    try:
        body = Document(parse_json(answer.content))
    except ValueError:
        return ""
    errors = (": ".join(filter(None, (e.text("/title"), e.text("/detail")))) for e in body.items("/errors"))
    return "; ".join(filter(None, errors)) or body.text("/message") or ""
