"""One ledger for each quota of a provider, in Redis: the script, its keys and what it answers.

A quota belongs to a credential at an origin. Its keys hold a keyed hash of both, so connections of any tenant that
use the same token meet in the same ledger, and no key can be read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import redis
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from providers.quotas import Quota

TIMEOUT_SECONDS = 1.0
_PARTS = ("state", "enter", "settle", "look")
SCRIPT = "\n".join((Path(__file__).parent / "quota_script" / f"{part}.lua").read_text() for part in _PARTS)
READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Charge:
    """One quota a call counts for.

    ``group`` tells its parts apart where the quota's path has groups: a keyed hash, because they may name a
    customer's things and a credential may be shared.
    """

    quota: Quota
    group: str
    units: float
    write: bool

    def stated(self, **more: Any) -> dict[str, Any]:
        """As the script takes it."""
        quota = self.quota
        return {
            "name": quota.name,
            "group": self.group,
            "kind": quota.kind,
            "units": quota.units,
            "window": quota.window_seconds,
            "concurrency": quota.concurrency,
            "spacing": quota.write_spacing_seconds,
            "separate": quota.separate,
            "cost": self.units,
            "dearest": max(quota.read_cost, quota.write_cost),
            "write": self.write,
            **more,
        }


def holding(quotas: Sequence[Quota], settings: Mapping[str, Any]) -> list[Quota]:
    """Those that hold for a connection with these settings."""
    return [quota for quota in quotas if not quota.setting or settings.get(quota.setting) is True]


def is_split(quota: Quota) -> bool:
    """Whether it is counted apart for each method or thing its path names."""
    return re.compile(quota.path).groups > 0


def charges(quotas: Sequence[Quota], method: str, path: str) -> list[Charge]:
    """What a request counts for, and how much of it."""
    write = method not in READS
    found = []
    for quota in quotas:
        match = re.search(quota.path, path)
        if match is None or quota.only == ("reads" if write else "writes"):
            continue
        usual = quota.write_cost if write else quota.read_cost
        units = next((units for pattern, units in quota.costs if re.search(pattern, path)), usual)
        found.append(Charge(quota, part_of(" ".join(part or "" for part in match.groups())), units, write))
    return found


def identity(provider_id: str, origin: str, credential: dict[str, str]) -> str:
    """Whose quota it is, as a keyed hash."""
    text = orjson.dumps([provider_id, origin, credential], option=orjson.OPT_SORT_KEYS)
    return salted_hmac("connections.quota", text, algorithm="sha256").hexdigest()


def run(owner: str, counted: Sequence[Charge], op: str, stated: Sequence[dict[str, Any]], **call: Any) -> Any:
    """One round trip; what is ``None`` is not told. Raises ``redis.RedisError``."""
    # The braces keep all keys of one credential on one node of a cluster.
    root = f"quota:{{{owner}}}"
    keys = [root, *(":".join(filter(None, (root, charge.quota.name, charge.group))) for charge in counted)]
    body = orjson.dumps({"op": op, "quotas": list(map(_known, stated)), **_known(call)})
    return orjson.loads(_script(settings.REDIS_URL)(keys=keys, args=[body]))


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def part_of(group: str) -> str:
    """The keyed hash a part of a split quota is known by; empty for one that is not split."""
    return salted_hmac("connections.quota", group).hexdigest()[:16] if group else ""


@cache
def _script(url: str) -> Script:
    client = redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return client.register_script(SCRIPT)
