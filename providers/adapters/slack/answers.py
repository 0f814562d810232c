"""What an answer of the Web API means: almost every failure is told with status 200 and ``"ok": false``.

Source: https://docs.slack.dev/apis/web-api/ and the errors of
https://docs.slack.dev/reference/methods/auth.test
"""

from __future__ import annotations

import re
from typing import Final

from providers.client import Response
from providers.document import Document, parse_json
from providers.errors import AuthFailed, LacksAccess, ProviderError, ProviderFault, RateLimited, Rejected

_REFUSED: Final = {
    "not_authed": "there is no token",
    "invalid_auth": "the token is not valid, or not from this address",
    "account_inactive": "its user or workspace is gone",
    "token_revoked": "it was revoked",
    "token_expired": "it has expired and must be refreshed",
    "team_access_not_granted": "the app is not granted to this workspace",
    "org_login_required": "the workspace is being moved to an organisation",
    "missing_scope": "a scope is missing",
    "not_allowed_token_type": "this kind of token may not ask this",
    "ekm_access_denied": "an administrator has suspended access",
}
# The token is good, but not for this.
_NOT_ALLOWED: Final = {"missing_scope", "not_allowed_token_type"}
# What a person can do about it; https://docs.slack.dev/reference/methods/conversations.history, chat.postMessage,
# chat.update and reactions.add
_UNFIT: Final = {
    "not_in_channel": "invite the app to the channel",
    "channel_not_found": "there is no such channel, or the app may not see it",
    "access_denied": "the app may not see the channel",
    "method_not_supported_for_channel_type": "this kind of channel has no history",
    "is_archived": "the channel is archived",
    "restricted_action": "the workspace does not let this account post here",
    "msg_too_long": "the text is too long",
    "message_not_found": "there is no such message in the channel",
    "cant_update_message": "it is a message of somebody else",
    "edit_window_closed": "the workspace does not let it be edited any more",
    "invalid_name": "there is no such emoji",
    "too_many_emoji": "the message has as many reactions as it can have",
    "too_many_reactions": "this account has as many reactions to the message as it can have",
}
_RETRYABLE: Final = {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}
_LIMITED: Final = {"ratelimited", "rate_limited"}
_WORD = re.compile(r"[a-z_]{1,60}", re.ASCII)
_SCOPES = re.compile(r"[a-z:._,]{1,200}", re.ASCII)


class ThreadGone(Rejected):
    """The thread that was asked for was deleted."""


def refusal(answer: Response) -> ProviderError | None:
    """The error an answer of status 200 tells; ``None`` where the status, or the caller, is to judge."""
    if answer.status != 200:
        return None
    try:
        body = Document(parse_json(answer.content))
    except ValueError:
        return None
    if body.boolean("/ok") is not False:
        return None
    given = body.text("/error") or ""
    code = given if _WORD.fullmatch(given) else "unknown_error"
    if code in _LIMITED:
        return RateLimited("Slack's rate limit is reached.", status=answer.status, code=code)
    if code in _RETRYABLE:
        return ProviderFault(f"Slack failed ({code}).", status=answer.status, code=code)
    if code in _REFUSED:
        needed = body.text("/needed") or ""
        lacking = f": {needed}" if code == "missing_scope" and _SCOPES.fullmatch(needed) else ""
        kind = LacksAccess if code in _NOT_ALLOWED else AuthFailed
        told = f"Slack refuses the token ({code}): {_REFUSED[code]}{lacking}."
        return kind(told, status=answer.status, code=code)
    if code == "thread_not_found":
        return ThreadGone("The thread does not exist any more.", status=answer.status, code=code)
    hint = f": {_UNFIT[code]}" if code in _UNFIT else ""
    return Rejected(f"Slack refused the request ({code}){hint}.", status=answer.status, code=code)


def words(answer: Response) -> str:
    """What Slack says of a refusal: its word, the scope that is missing, and what is wrong with which argument."""
    try:
        body = Document(parse_json(answer.content))
    except ValueError:
        return ""
    needed = body.text("/needed")
    told = [body.text("/error"), f"needed: {needed}" if needed else None, *body.texts("/response_metadata/messages")]
    return "; ".join(filter(None, told))
