"""Structured logs: one JSON object a line on stderr, redacted, with the request's identity in each."""

from __future__ import annotations

import logging
import re
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from providers.known_secrets import hidden
from providers.redaction import redact

# The token in a webhook's path opens the door, so paths are cut before it, whoever logs them.
_DOOR = re.compile(r"(/integrations/webhooks/[^/\s]+/)[^/\s\"'?]+")


class Redaction:
    """Processor: strips secrets, door tokens and by policy e-mail addresses from every value of a line.

    Secrets by name, by shape, and those this thread has handled, whatever they look like.
    """

    def __init__(self, *, emails: bool) -> None:
        self._emails = emails

    def __call__(self, logger: Any, name: str, event_dict: EventDict) -> EventDict:
        kept = {key: _without_tokens(_plain(value)) for key, value in event_dict.items()}
        redacted: EventDict = redact(kept, emails=self._emails)
        return redacted


def configure_logging(*, console: bool, level: str, redact_emails: bool) -> dict[str, Any]:
    """Set structlog up and return Django's ``LOGGING``; both speak through the same processors."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = structlog.dev.ConsoleRenderer() if console else _json
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    Redaction(emails=redact_emails),
                    renderer,
                ],
            }
        },
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["lines"], "level": level},
        "loggers": {
            # Django's own handlers would print each line a second time, unredacted.
            "django": {"handlers": [], "propagate": True, "level": level},
            "django.server": {"handlers": [], "propagate": True, "level": level},
            # Refused requests are counted and logged by the middleware; only faults are news here.
            "django.request": {"level": logging.getLevelName(logging.ERROR)},
            # Its debug lines show all that a page was given, also what is shown to one person once.
            "django.template": {"level": logging.getLevelName(logging.INFO)},
        },
    }


def _json(_logger: Any, _name: str, event_dict: EventDict) -> str:
    return orjson.dumps(event_dict, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    """What redaction can look into: JSON types as they are, anything else by its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _without_tokens(value: Any) -> Any:
    if isinstance(value, str):
        return hidden(_DOOR.sub(r"\1[redacted]", value))
    if isinstance(value, dict):
        return {key: _without_tokens(item) for key, item in value.items()}
    return [_without_tokens(item) for item in value] if isinstance(value, list) else value
