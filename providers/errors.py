"""What can go wrong between us and a provider. The class decides what happens next.

| class            | category   | retried | typical cause                             |
|------------------|------------|---------|-------------------------------------------|
| AuthFailed       | auth       | no      | 401, revoked token, 403                   |
| GrantEnded       | auth       | no      | a refresh token that is dead              |
| LacksAccess      | auth       | no      | a missing scope, told apart from the rest |
| Rejected         | client     | no      | other 4xx: our request is wrong for them  |
| StaleMark        | client     | yes     | a page token they gave and forgot         |
| RateLimited      | rate_limit | yes     | 429, or 403 that says so                  |
| QuotaSpent       | budget     | yes     | our own ledger of their quota: not sent   |
| CredentialAway   | budget     | yes     | where secrets are kept cannot be asked    |
| ProviderFault    | server     | yes     | 5xx, 408, an answer we cannot read        |
| Unreachable      | network    | yes     | DNS, connect, TLS, time-out               |
| OutOfTime        | network    | yes     | the time we allowed ourselves is over     |
| Misconfigured    | config     | no      | settings or credential cannot work        |

Messages are for people who run connections: they never hold response bodies, URLs with queries, or
secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ProviderError(Exception):
    """Base of all; catch this to mean "the provider, or the way to it, failed"."""

    category: ClassVar[str] = "server"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_seconds: float | None = None, code: str = ""
    ) -> None:
        """``code``: the provider's own short word for it, where it has one."""
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.code = code
        # Set by the client: whether the provider may have seen the request, and what it said in its own words.
        self.sent = False
        self.told = ""


class AuthFailed(ProviderError):
    """The credential was refused; retrying spends quota for nothing."""

    category = "auth"

    @property
    def of_the_credential(self) -> bool:
        """Whether the credential itself is not accepted (401 and its like), not just this use of it (403)."""
        return self.status != 403 and not isinstance(self, LacksAccess)


class GrantEnded(AuthFailed):
    """The authorisation is over: no token comes of it any more, and only a person can give a new one."""


class LacksAccess(AuthFailed):
    """The credential is good, but may not do this: a scope, a role or a place is missing."""


class Rejected(ProviderError):
    """The provider understood and refused the request."""

    category = "client"


class StaleMark(Rejected):
    """The provider does not know any more what it said comes next; ``position`` is where to begin again."""

    retryable = True

    def __init__(self, message: str, *, status: int | None = None, position: Mapping[str, Any]) -> None:
        super().__init__(message, status=status)
        self.position = position


class RateLimited(ProviderError):
    """Over a limit; ``retry_after_seconds`` holds the provider's own wish where it gave one."""

    category = "rate_limit"
    retryable = True


class QuotaSpent(ProviderError):
    """Not sent: what is left of the provider's quota is kept for more urgent calls, or nothing is left.

    ``retry_after_seconds`` is when to ask again.
    """

    category = "budget"
    retryable = True


class CredentialAway(QuotaSpent):
    """Not sent: the credential cannot be read just now. That says nothing of the credential or of the provider."""


class ProviderFault(ProviderError):
    """The provider failed, or answered something that cannot be an answer."""

    category = "server"
    retryable = True


class Unreachable(ProviderError):
    """No answer arrived."""

    category = "network"
    retryable = True


class OutOfTime(Unreachable):
    """The time allowed for all calls together is over: before this one, or before its answer was complete."""


class Misconfigured(ProviderError):
    """The connection's settings or credential cannot work; a person must change them."""

    category = "config"


class UnreadablePayload(ValueError):
    """A verified request whose body is not what the provider documents: kept aside for a person."""


class MappingFailed(ValueError):
    """A stored payload could not be mapped; the event is kept and can be replayed after a fix."""
