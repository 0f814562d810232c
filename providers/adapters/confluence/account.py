"""Whose credential it is, and the provider's clock.

https://developer.atlassian.com/cloud/confluence/rest/v1/api-group-users/#api-wiki-rest-api-user-current-get
"""

from __future__ import annotations

from datetime import UTC, datetime

from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.waits import sent_at


def ask(client: ProviderClient) -> Response:
    try:
        return client.get("rest/api/user/current")
    except Rejected as refused:
        if refused.status != 404:
            raise
        raise Rejected(
            "There is no Confluence at base_url, or the credential is not for it; "
            "the address ends with /wiki, and behind the gateway it holds the cloud id.",
            status=404,
        ) from None


def named(answer: Response) -> Document:
    """The user the answer names. A credential that is not accepted is told with 200, as an anonymous user."""
    who = Document(answer.json())
    if who.text("/type") == "anonymous":
        raise AuthFailed("Confluence did not accept the credential: it answers as to an anonymous user.", status=200)
    # Data Center has keys instead of account ids.
    if not who.text("/accountId", "/userKey"):
        raise ProviderFault("Confluence does not say whose credential this is.")
    return who


def clock(answer: Response) -> datetime:
    """When the answer was sent (``Date``; RFC 9110, 6.6.1), in whole seconds."""
    seconds = sent_at(answer.headers)
    if seconds is None:
        raise ProviderFault("The provider's answer has no date.")
    return datetime.fromtimestamp(seconds, tz=UTC)
