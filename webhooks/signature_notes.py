"""The shared memory of signatures, in Redis: one command a request, on a connection each thread keeps.

The command is put together here because the client library spends longer on it than Redis does.
"""

from __future__ import annotations

import threading
import time
from functools import cache

import redis
import structlog
from redis.connection import ConnectionInterface

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 5.0
_local = threading.local()
_resume_at: dict[str, float] = {}


def note(url: str, name: str, seconds: int) -> bool | None:
    """Note ``name`` for so long. Returns whether it is new, or ``None`` while Redis is not to be asked.

    After a failure it is left alone for a few seconds, so that an outage costs one time-out.
    """
    if time.monotonic() < _resume_at.get(url, 0.0):
        return None
    key = name.encode()
    # SET name 1 NX EX seconds, as the protocol writes it: https://valkey.io/topics/protocol/
    command = b"*6\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\n1\r\n$2\r\nNX\r\n$2\r\nEX\r\n$%d\r\n%d\r\n"
    packed = command % (len(key), key, len(str(seconds)), seconds)
    try:
        try:
            return _asked(url, packed)
        except redis.TimeoutError:
            raise
        except redis.ConnectionError:
            # Redis was started again since; a note made twice only makes the caller ask the database.
            return _asked(url, packed)
    except (redis.RedisError, OSError) as error:
        _resume_at[url] = time.monotonic() + PAUSE_SECONDS
        log.warning("replay.cache_unavailable", error=type(error).__name__)
        return None


def _asked(url: str, packed: bytes) -> bool:
    connection = _connection(url)
    try:
        connection.send_packed_command([packed], check_health=False)  # type: ignore[no-untyped-call]
        return connection.read_response() is not None
    except BaseException:
        # An answer that comes late must not be taken for that of the next question.
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise


def _connection(url: str) -> ConnectionInterface:
    kept: dict[str, ConnectionInterface] = _local.__dict__.setdefault("connections", {})
    connection = kept.get(url)
    if connection is None:
        connection = kept[url] = _pool(url).make_connection()
    return connection


@cache
def _pool(url: str) -> redis.ConnectionPool:
    """Knows how to reach every form of address; its connections are made, never lent."""
    return redis.ConnectionPool.from_url(
        url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS, retry=None
    )
