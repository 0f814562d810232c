"""A verification says which step failed and what to do, and keeps that as evidence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.utils import timezone

from connections.models import ConnectionStatus, ConnectionVerification, Incident, IntegrationConnection
from connections.token_models import AccessToken
from connections.verification import KEPT, verify_connection
from integration_adapters.sandbox.worlds import simulator_class
from providers.adapters.fake.simulator import Simulator
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.api import CONNECTIONS, client_of, error_of
from tests.contract.provider_server import Server, serving
from tests.factories import GLOBEX, make_connection, make_registration
from tests.tls_server import listening, make_certificate

pytestmark = pytest.mark.django_db

GOOD = dict(Simulator.credential)
NAMES = ["resolve", "tls", "authenticate", "scopes", "first_read", "webhook_loop"]


@pytest.fixture
def provider() -> Iterator[Server]:
    with serving(Simulator(seed=1, faults=False).handle) as server:
        yield server


def verified(connection: IntegrationConnection) -> dict[str, Any]:
    response = client_of().post(f"{CONNECTIONS}/{connection.pk}/verify")
    assert response.status_code == 200, response.content
    told: dict[str, Any] = response.json()
    assert [step["step"] for step in told["verification"]["steps"]] == NAMES
    return told


def steps_of(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["step"]: step for step in told["verification"]["steps"]}


def outcomes(told: dict[str, Any]) -> list[str]:
    return [step["outcome"] for step in told["verification"]["steps"]]


def fails_at(told: dict[str, Any], name: str) -> dict[str, Any]:
    """The step that failed; those after it were not tried, and the connection says what it said."""
    failed = steps_of(told)[name]
    assert failed["outcome"] == "failed", told["verification"]
    assert failed["advice"], "a person is told what to do"
    after = outcomes(told)[NAMES.index(name) + 1 :]
    assert set(after) <= {"skipped"}
    assert (told["status"], told["verification"]["outcome"]) == ("error", "failed")
    assert failed["summary"] in told["last_error"]
    return failed


def test_every_step_of_a_good_connection_is_told(provider: Server) -> None:
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    told = verified(connection)
    assert outcomes(told) == ["ok", "skipped", "ok", "skipped", "ok", "skipped"]
    found = steps_of(told)
    assert "plain http" in found["tls"]["summary"]
    assert found["authenticate"]["evidence"]["account"] == "acme-bot"
    assert found["first_read"]["evidence"]["stream"] == "issues"
    assert "no webhook yet" in found["webhook_loop"]["summary"]
    assert "127.0.0.1" not in found["resolve"]["evidence"].get("address", "")


def test_an_address_inside_fails_before_anybody_is_called(provider: Server, settings: Any) -> None:
    settings.OUTBOUND_POLICY = OutboundPolicy.parse([])
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url.replace("http:", "https:")})
    failed = fails_at(verified(connection), "resolve")
    assert "private address" in failed["summary"]
    assert provider.asked == []


def test_a_certificate_nobody_vouches_for_fails_before_the_credential_is_sent(tmp_path: Path) -> None:
    _, both = make_certificate(tmp_path, host="127.0.0.1")
    with listening(both) as server:
        connection = make_connection(credential=GOOD, settings={"base_url": f"https://127.0.0.1:{server.port}"})
        failed = fails_at(verified(connection), "tls")
        assert "certificate" in failed["summary"]
        assert server.connections == 1, "only the handshake was tried"


def test_a_refused_credential_fails_where_it_is_shown(provider: Server) -> None:
    connection = make_connection(credential={"token": "wrong-token-0815"}, settings={"base_url": provider.url})
    told = verified(connection)
    failed = fails_at(told, "authenticate")
    assert "refused the credential" in failed["summary"]
    assert "wrong-token-0815" not in orjson.dumps(told).decode()


def test_a_credential_that_is_gone_is_told_without_a_call(provider: Server) -> None:
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    IntegrationConnection.objects.filter(pk=connection.pk).update(
        auth_ref="secret:019a0000-0000-7000-8000-000000000000"
    )
    response = client_of().post(f"{CONNECTIONS}/{connection.pk}/verify").json()
    failed = steps_of(response)["authenticate"]
    assert (failed["outcome"], provider.asked) == ("failed", [])
    assert "cannot be used" in failed["summary"]


def test_one_place_that_cannot_be_read_is_a_warning(provider: Server) -> None:
    answer = provider.answer

    def closed(method: str, path: str, *rest: Any) -> SimulatedAnswer:
        return SimulatedAnswer(403) if path == "/issues" else answer(method, path, *rest)

    provider.answer = closed
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url, "projects": ["WEB"]})
    told = verified(connection)
    read = steps_of(told)["first_read"]
    assert (told["status"], told["verification"]["outcome"], read["outcome"]) == ("active", "warning", "warning")
    assert (read["evidence"]["place"], bool(read["advice"])) == ("WEB", True)


def test_a_credential_that_may_not_even_read_is_refused(provider: Server) -> None:
    answer = provider.answer
    provider.answer = lambda method, path, *rest: (
        SimulatedAnswer(401) if path == "/issues" else answer(method, path, *rest)
    )
    fails_at(verified(make_connection(credential=GOOD, settings={"base_url": provider.url})), "first_read")


def test_the_last_delivery_of_each_webhook_is_shown(provider: Server) -> None:
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    old = timezone.now() - timedelta(days=30)
    silent, _, _ = make_registration(connection, created_at=old)
    heard, _, _ = make_registration(connection, last_received_at=datetime(2026, 11, 1, 12, tzinfo=UTC))
    evidence = steps_of(verified(connection))["webhook_loop"]["evidence"]
    assert evidence[f"webhook {heard.pk}"] == "last verified delivery 2026-11-01T12:00Z"
    assert evidence[f"webhook {silent.pk}"] == "no verified delivery yet"


def test_the_newest_are_kept_and_listed_for_their_tenant_alone(provider: Server) -> None:
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    for _ in range(KEPT + 2):
        verify_connection(connection, actor="staff:ravi")
    assert ConnectionVerification.objects.filter(connection=connection).count() == KEPT
    url = f"{CONNECTIONS}/{connection.pk}/verifications"
    page = client_of().get(url, {"page_size": 2}).json()
    assert [row["purpose"] for row in page["results"]] == ["verify", "verify"]
    assert page["results"][0]["verification_id"] > page["results"][1]["verification_id"]
    assert "actor" not in page["results"][0], "names of staff are not the tenant's"
    error_of(client_of(GLOBEX).get(url), 404)
    error_of(client_of(GLOBEX).post(f"{CONNECTIONS}/{connection.pk}/verify"), 404)


def test_what_a_provider_says_is_redacted_before_it_is_kept(provider: Server) -> None:
    provider.answer = lambda *_: SimulatedAnswer(
        200, {"content-type": "application/json"}, b'{"account": "zoe@acme.example Bearer abcdefghijklmnopqrstuvwxyz"}'
    )
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url}, enabled_capabilities={})
    verify_connection(connection, actor="staff:ravi")
    kept = orjson.dumps(ConnectionVerification.objects.get().steps).decode()
    assert "zoe@acme.example" not in kept
    assert "abcdefghijklmnop" not in kept


@pytest.mark.parametrize(
    ("slug", "knob", "told", "capabilities", "outcome", "words"),
    [
        ("github", "token_scopes", "repo", {"polling": True}, "ok", ""),
        ("github", "token_scopes", "read:org", {"polling": True}, "warning", "repo is needed to read private"),
        ("github", "token_scopes", "", {"polling": True}, "skipped", ""),
        ("gitlab", "token_scopes", ["read_api"], {"polling": True}, "ok", ""),
        (
            "gitlab",
            "token_scopes",
            ["read_api"],
            {"polling": True, "webhook": True},
            "warning",
            "api is needed to make",
        ),
        ("gitlab", "token_scopes", ["read_user"], {"polling": True}, "failed", "read_api or api is needed"),
        ("gitlab", "token_scopes", ["granular"], {"polling": True}, "skipped", ""),
        ("slack", "token_scopes", "chat:write", {"polling": True}, "warning", "channels:history or groups:history"),
    ],
)
def test_scopes_that_lack_are_shown_before_they_are_missed(
    slug: str, knob: str, told: Any, capabilities: dict[str, bool], outcome: str, words: str
) -> None:
    world = simulator_class(slug)(seed=1, faults=False)  # type: ignore[misc]
    setattr(world, knob, told)
    with serving(world.handle) as server:
        connection = make_connection(
            slug,
            credential=dict(world.credential),
            settings=world.settings(server.url),
            enabled_capabilities=capabilities,
        )
        step = steps_of(verified(connection))["scopes"]
    assert step["outcome"] == outcome, step
    assert words in " ".join(step["evidence"].values())
    connection.refresh_from_db()
    assert (connection.status == ConnectionStatus.ACTIVE) is (outcome != "failed")


def test_what_an_authorisation_was_granted_counts_where_calls_do_not_tell() -> None:
    world: Any = simulator_class("github")(seed=1, faults=False)  # type: ignore[misc]
    world.token_scopes, world.token_ends = "", "2026-12-24 18:00:00 UTC"
    with serving(world.handle) as server:
        connection = make_connection(
            "github",
            credential=dict(world.credential),
            settings=world.settings(server.url),
            enabled_capabilities={"polling": True},
        )
        AccessToken.objects.create(
            tenant_id=connection.tenant_id,
            provider_id="github",
            auth_ref=connection.auth_ref,
            scopes=["read:org"],
        )
        told = verified(connection)
    assert steps_of(told)["scopes"]["evidence"]["granted"] == "read:org"
    assert told["credential_expires_at"] is None, "what is renewed by itself has no end"


def test_a_busy_service_says_so_and_writes_nothing(provider: Server, settings: Any) -> None:
    settings.PROVIDER_TURNS = 0
    connection = make_connection(credential=GOOD, settings={"base_url": provider.url})
    error_of(client_of().post(f"{CONNECTIONS}/{connection.pk}/verify"), 503)
    assert not ConnectionVerification.objects.exists()
    assert not Incident.objects.exists()
