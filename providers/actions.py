"""The contract of what goes out: canonical commands, made by adapters into requests with one effect each.

You write: an ``OutboundAction`` for each command the provider takes. It says how the command becomes exactly one
request that changes something, what the answer means, and how to find out whether that request took effect.
You leave: when it is sent, retries, time limits, spacing, doubt, evidence. An action keeps nothing between calls.

How an effect stays one. Nobody can know whether a request took effect whose answer was lost. The runtime commits that
it will send before it sends; whatever ends without an answer leaves the command in doubt, and a command in doubt is
looked for (``find``) before anything else is done. Whether it may be sent again when it is not found is what
``one_effect`` says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

from providers.canonical import JSON
from providers.canonical.action_types import PAYLOAD_FIELDS, TARGET_FIELDS, ActionType, schema
from providers.client import ProviderClient, Response
from providers.errors import Rejected


class OneEffect(StrEnum):
    """What keeps a command that is sent twice from having two effects."""

    PROVIDER_KEY = "provider_key"
    """The provider takes a key with the request and remembers it."""
    CLIENT_ID = "client_id"
    """We choose the id of what is made; the second is refused."""
    NATURAL_KEY = "natural_key"
    """What is asked is a state, or has a name there can be once; asking again changes nothing."""
    MARKER = "marker"
    """What is made carries a hidden mark. In doubt it is looked for, and sent again only when it would show by now."""
    UNKNOWABLE = "unknowable"
    """Nothing tells. In doubt a person decides."""


REPEATABLE = frozenset({OneEffect.PROVIDER_KEY, OneEffect.CLIENT_ID, OneEffect.NATURAL_KEY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One canonical command, checked against the action's schemas.

    ``mark``: a UUID as text, the same for every attempt at this command and for no other: the id to choose, the key to
    send or the mark to hide.
    ``since``: when the first attempt began, by our clock; searches begin a few minutes earlier, for clocks differ.
    """

    target: Mapping[str, Any]
    payload: Mapping[str, Any] = field(repr=False)
    mark: str
    since: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """The one request that changes something, as it will be sent.

    ``lane``: what the provider spaces writes by where the path does not name it, such as a channel; quotas see it
    behind the path, as ``path#lane``.
    """

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    json: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    lane: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The effect: the provider's id of what was made or changed, and where a person can look at it."""

    reference: str
    url: str = ""


class OutboundAction(ABC):
    """One command one provider takes. The same object serves all connections."""

    type: ClassVar[ActionType]
    one_effect: ClassVar[OneEffect]
    visible_within_seconds: ClassVar[float] = 60
    """How long after the provider took a write ``find`` may still not see it. Only then "not there" counts."""
    permissions: ClassVar[Sequence[str]] = ()
    """What the credential needs, in the provider's words; several: all of them."""
    target_fields: ClassVar[Mapping[str, bool]] = {}
    """Which fields of the canonical target this provider needs (true) or takes (false); empty: as ``type`` says."""
    payload_fields: ClassVar[Mapping[str, bool]] = {}
    """The same of the payload. What is left out is refused, never silently dropped."""
    limits: ClassVar[Mapping[str, JSON]] = {}
    """What the provider says further of a field's JSON Schema, in any command: ``{"title": {"maxLength": 80}}``."""
    narrowed: ClassVar[Mapping[str, JSON]] = {}
    """The same of this command alone."""
    notes: ClassVar[str] = ""
    """What a person should know: limits of the provider, what is looked up first."""

    @property
    def target_schema(self) -> JSON:
        """JSON Schema (2020-12) of the target."""
        return schema(dict(self.target_fields) or self.type.target, TARGET_FIELDS, {**self.limits, **self.narrowed})

    @property
    def payload_schema(self) -> JSON:
        """JSON Schema (2020-12) of the payload."""
        return schema(dict(self.payload_fields) or self.type.payload, PAYLOAD_FIELDS, {**self.limits, **self.narrowed})

    @abstractmethod
    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        """The request to send. May read (names to ids, a version to change), must not write.

        ``Done`` where reading shows that there is nothing to do. Raises ``ProviderError``; ``Rejected`` for a command
        that cannot be carried out.
        """

    @abstractmethod
    def done(self, command: Command, answer: Response) -> Done:
        """What an accepted request came to.

        Raises ``ProviderFault`` for an answer that does not say, ``Rejected`` for one that says it was not done.
        """

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """The effect of an earlier attempt at this very command, or ``None`` where it is not there. Reads only.

        Must see everything that is older than ``visible_within_seconds``, on as many pages as there are. Raises
        ``ProviderError`` where it could not look: that is never "not there". Asked only after an attempt whose end
        is unknown; where asking for a state that is so already is harmless, looking is not needed.
        """
        return None

    def settled_by(self, command: Command, refusal: Rejected) -> Done | None:
        """The effect, where this refusal says that what was asked is so already; ``None``: it is a refusal.

        Only for natural keys: for a chosen id, "it exists" may be somebody else's, so ``find`` is asked as well.
        """
        return None
