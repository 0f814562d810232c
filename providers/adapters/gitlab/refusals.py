"""Why GitLab refused, in its own words.

https://docs.gitlab.com/api/rest/troubleshooting/#status-code-400
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from providers.client import Response
from providers.document import Document
from providers.errors import ProviderFault

_MOST: Final = 5


def explain(answer: Response) -> str:
    """``title can't be blank``, or nothing where the body says nothing."""
    try:
        refusal = Document(answer.json())
    except ProviderFault:
        return ""
    # An error of OAuth has its short word under error, and for people a description.
    said = (refusal.at(place) for place in ("/message", "/error_description", "/error"))
    return "; ".join(list(dict.fromkeys(_texts(next((each for each in said if each), None))))[:_MOST])


def _texts(said: Any, about: str = "") -> Iterator[str]:
    """A message is a text, a list of texts, or an object with either for each field."""
    if isinstance(said, str) and said:
        yield f"{about} {said}".strip()
    elif isinstance(said, list):
        for each in said:
            yield from _texts(each, about)
    elif isinstance(said, dict) and not about:
        for field, each in said.items():
            yield from _texts(each, "" if field == "base" else field)
