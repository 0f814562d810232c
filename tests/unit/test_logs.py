"""A line of the log: JSON, with its context, without a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.template import Context, Template

from integration_adapters.logs import Lines, Redaction, configure_logging
from providers.known_secrets import remember

TOKEN = "ghp_" + "a1B2" * 9


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything logged through a fresh set-up of the service's own."""
    config = configure_logging(console=False, level="INFO", redact_emails=True)
    formatter = dict(config["formatters"]["lines"])
    stream = io.StringIO()
    handler = Lines(stream)
    handler.setFormatter(formatter.pop("()")(**formatter))
    logger = logging.getLogger("tests.lines")
    logger.addHandler(handler)
    logger.setLevel("DEBUG")
    logger.propagate = False
    structlog.contextvars.clear_contextvars()
    yield stream
    structlog.contextvars.clear_contextvars()
    logger.removeHandler(handler)
    logger.propagate = True


def line(written: io.StringIO) -> dict[str, Any]:
    lines = written.getvalue().splitlines()
    assert len(lines) == 1
    parsed: dict[str, Any] = json.loads(lines[0])
    return parsed


def test_a_line_carries_the_requests_identity(written: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(correlation_id="order-66", tenant_id="acme")
    structlog.get_logger("tests.lines").info("webhook.accepted", provider_id="fake", events=2)
    told = line(written)
    assert told["event"] == "webhook.accepted"
    assert told["correlation_id"] == "order-66"
    assert (told["tenant_id"], told["provider_id"], told["events"], told["level"]) == ("acme", "fake", 2, "info")
    assert told["timestamp"].endswith("Z")


def test_a_line_of_a_library_looks_the_same(written: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(correlation_id="order-66")
    logging.getLogger("tests.lines").warning("slow query %s", 7)
    told = line(written)
    assert (told["event"], told["correlation_id"], told["level"]) == ("slow query 7", "order-66", "warning")


def test_a_fault_is_one_line_with_its_trace_and_without_its_secret(written: io.StringIO) -> None:
    try:
        raise RuntimeError(f"refused {TOKEN} of zoe@example.com")
    except RuntimeError:
        structlog.get_logger("tests.lines").exception("call.failed")
    told = line(written)
    assert "RuntimeError" in told["exception"]
    assert TOKEN not in written.getvalue()
    assert "zoe@example.com" not in written.getvalue()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "hunter2hunter2"),
        ("headers", {"Authorization": "hunter2hunter2"}),
        ("args", ({"api_key": "hunter2hunter2"},)),
        ("url", "https://zoe:hunter2hunter2@example.com/"),
        ("path", "/v1/integrations/webhooks/fake/hunter2hunter2"),
        ("paths", ["GET /v1/integrations/webhooks/fake/hunter2hunter2?x=1"]),
    ],
)
def test_a_secret_is_found_wherever_it_hides(key: str, value: Any) -> None:
    kept = Redaction(emails=True)(None, "info", {"event": "x", key: value})
    assert "hunter2hunter2" not in str(kept)
    assert "[redacted]" in str(kept)


def test_what_is_no_json_is_told_by_its_text() -> None:
    assert Redaction(emails=False)(None, "info", {"event": ValueError("odd")}) == {"event": "odd"}


@pytest.mark.parametrize("value", ["a\ud800b", 2**80, {"deep": {"a\udcff": 1}}], ids=["surrogate", "large", "key"])
def test_what_is_no_json_costs_no_line_and_tells_nothing_beside_it(
    written: io.StringIO, capsys: pytest.CaptureFixture[str], value: Any
) -> None:
    """Python prints a line that cannot be written with its arguments as they are, past all redaction."""
    structlog.get_logger("tests.lines").warning("provider.odd", value=value, token=TOKEN, header=f"Bearer {TOKEN}")
    assert line(written)["token"] == "[redacted]"
    assert capsys.readouterr().err == ""


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError(f"cannot be told: {TOKEN}")

    __repr__ = __str__


def test_a_line_that_cannot_be_written_is_told_without_its_arguments(
    written: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    record = logging.LogRecord("tests.lines", logging.WARNING, "", 0, "with %s: %s", (TOKEN, Unspeakable()), None)
    next(each for each in logging.getLogger("tests.lines").handlers if isinstance(each, Lines)).emit(record)
    printed = capsys.readouterr().err
    lost = {"event": "log_line_lost", "level": "error", "logger": "tests.lines", "error": "RuntimeError"}
    assert json.loads(printed) == lost
    assert written.getvalue() == ""


def test_a_secret_this_thread_has_used_is_in_no_line(written: io.StringIO) -> None:
    remember("zwetschge-fensterladen")
    try:
        raise KeyError("zwetschge-fensterladen")
    except KeyError:
        structlog.get_logger("tests.lines").exception("provider.odd", value={"as": ["zwetschge-fensterladen"]})
    assert "fensterladen" not in written.getvalue()
    assert "KeyError" in written.getvalue()


def test_the_deployments_own_secrets_are_in_no_line() -> None:
    clean = Redaction(emails=True, secrets=("zwetschge-fensterladen", "kurz", ""))
    told = clean(None, "", {"event": "x", "at": {"here": ["a zwetschge-fensterladen"]}, "kurz": "kurz"})
    assert told == {"event": "x", "at": {"here": ["a [redacted]"]}, "kurz": "kurz"}


def test_what_a_page_was_given_is_in_no_line_at_debug_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django tells of a name a template looks up in vain together with everything the template was given."""
    level = configure_logging(console=False, level="DEBUG", redact_emails=True)["loggers"]["django.template"]["level"]
    stream, logger = io.StringIO(), logging.getLogger("django.template")
    handler = logging.StreamHandler(stream)
    monkeypatch.setattr(logger, "handlers", [handler])
    for of_level in ("DEBUG", level):
        stream.truncate(stream.seek(0))
        monkeypatch.setattr(logger, "level", logging.getLevelName(of_level))
        logger.manager._clear_cache()
        Template("{{ nothing }}").render(Context({"shown once": "zwetschge-fensterladen"}))
        assert ("fensterladen" in stream.getvalue()) == (of_level == "DEBUG")
    logger.manager._clear_cache()
