"""Structured logs: one JSON object a line on stderr, redacted, with the request's identity in each."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from providers.known_secrets import SHORTEST, hidden
from providers.redaction import REDACTED, cut_doors, redact


class Redaction:
    """Processor: strips secrets, door tokens and by policy e-mail addresses from every value of a line.

    Secrets by name, by shape, and those this thread has handled, whatever they look like.
    """

    def __init__(self, *, emails: bool, secrets: Iterable[str] = ()) -> None:
        """``secrets``: the deployment's own."""
        self._emails = emails
        self._secrets = tuple(secret for secret in secrets if len(secret) >= SHORTEST)

    def __call__(self, logger: Any, name: str, event_dict: EventDict) -> EventDict:
        kept = {key: self._clean(_plain(value)) for key, value in event_dict.items()}
        redacted: EventDict = redact(kept, emails=self._emails)
        return redacted

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, REDACTED)
            return hidden(cut_doors(value))
        if isinstance(value, dict):
            return {key: self._clean(item) for key, item in value.items()}
        return [self._clean(item) for item in value] if isinstance(value, list) else value


class Lines(logging.StreamHandler[TextIO]):
    """Writes to stderr. A line that cannot be written is told without what it held, which nobody has redacted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - named by the standard library
        error = getattr(sys.exc_info()[0], "__name__", "")
        lost = {"event": "log_line_lost", "level": "error", "logger": record.name, "error": error}
        with suppress(OSError, ValueError):
            sys.stderr.write(json.dumps(lost) + "\n")


def configure_logging(*, console: bool, level: str, redact_emails: bool, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Set structlog up and return Django's ``LOGGING``; both speak through the same processors.

    ``secrets`` are in no line, whatever they look like.
    """
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
                    Redaction(emails=redact_emails, secrets=secrets),
                    renderer,
                ],
            }
        },
        "handlers": {"lines": {"class": "integration_adapters.logs.Lines", "formatter": "lines"}},
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
    try:
        return orjson.dumps(event_dict, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a character, or a number of more than 64 bits
        return json.dumps(event_dict, default=str)


def _plain(value: Any) -> Any:
    """What redaction can look into: JSON types as they are, anything else by its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
