"""How Bitbucket is called: the three kinds of credential, and what a refusal means.

Source: https://support.atlassian.com/bitbucket-cloud/docs/using-access-tokens/ and
https://support.atlassian.com/bitbucket-cloud/docs/using-api-tokens/. App passwords no longer exist.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from providers.client import Response
from providers.document import Document, parse_json
from providers.errors import AuthFailed, Misconfigured, ProviderError

USER_PATH = "user"
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)

_UNAUTHORISED = (
    "Bitbucket refuses the token (401): it is wrong or expired, or an API token without the e-mail address of its "
    "account, or an access token while the settings name neither its workspace nor its repository."
)
_FORBIDDEN = "Bitbucket refuses the call (403): the token lacks a scope, or its account the rights of an administrator."


def authorization(credential: Mapping[str, str]) -> str:
    """Value of the header: basic for an API token, which belongs to a user, bearer for all others."""
    token, email = credential.get("token") or "", credential.get("email")
    if not _TOKEN.fullmatch(token):
        raise Misconfigured("The credential has no usable token.")
    if email:
        return f"Basic {base64.b64encode(f'{email}:{token}'.encode()).decode()}"
    return f"Bearer {token}"


def account_path(settings: Mapping[str, Any], credential: Mapping[str, str]) -> str:
    """Where a credential proves itself: an access token stands for no user, so it is asked for its own place."""
    if not credential.get("email"):
        for place in ("repositories", "workspaces"):
            for name in settings.get(place) or ():
                return "/".join(quote(step, safe="") for step in (place, *name.split("/")))
    return USER_PATH


def explain(answer: Response) -> str:
    """Bitbucket's own words: a message, what is wrong with each field, and the scopes a token lacks."""
    try:
        error = Document(parse_json(answer.content))
    except ValueError:
        return ""
    fields, detail = error.at("/error/fields"), error.at("/error/detail")
    named = fields if isinstance(fields, dict) else {}
    told = [f"{name}: {', '.join(error.texts(f'/error/fields/{name}')) or words}" for name, words in named.items()]
    needed = ", ".join(error.texts("/error/detail/required"))
    more = [detail] if isinstance(detail, str) else [f"required: {needed}"] if needed else []
    return "; ".join([error.text("/error/message") or "", *told, *more])


def refusal(answer: Response) -> ProviderError | None:
    """Words for refused credentials that say what to look at; other answers speak for themselves."""
    if answer.status == 401:
        return AuthFailed(_UNAUTHORISED, status=401)
    if answer.status == 403 and "retry-after" not in answer.headers:
        return AuthFailed(_FORBIDDEN, status=403)
    return None
