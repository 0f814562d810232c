"""The people of the simulated workspace, and the ids things have there."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Final

JSON = dict[str, Any]
PEOPLE: Final = ("zoe", "ravi", "mina", "olaf")


def uuid_of(name: str) -> str:
    return f"{{{uuid.uuid5(uuid.NAMESPACE_DNS, name)}}}"


def person_of(name: str) -> JSON:
    account = hashlib.sha256(name.encode()).hexdigest()[:24]
    shown = {"type": "user", "display_name": name.title(), "nickname": name}
    return {**shown, "account_id": account, "uuid": uuid_of(name)}


def person(own: str) -> JSON | None:
    """Whoever has this account id or this id in braces."""
    people = map(person_of, (*PEOPLE, "acme-bot"))
    return next((found for found in people if own in (found["account_id"], found["uuid"])), None)
