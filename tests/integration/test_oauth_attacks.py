"""What others try with an authorisation: RFC 6749, section 10; RFC 6819; RFC 9700."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.db import connections as databases

from connections.models import IntegrationConnection, OAuthAuthorisation, StoredSecret
from connections.tokens import AccessToken
from tests.api import client_of, error_of, pointers_of
from tests.authorisation_server import (
    AUTHORIZE,
    CALLBACK,
    PUBLIC,
    AuthorisationServer,
    GateAdapter,
    begin,
    come_back,
    gate_oauth,
)
from tests.factories import ACME, GLOBEX

pytestmark = pytest.mark.django_db

ANSWER = f"{PUBLIC}{CALLBACK}"


def refused(response: Any, status: int, code: str) -> str:
    """Refused, and nothing is left of it."""
    error = error_of(response, status)
    assert error["code"] == code
    assert not IntegrationConnection.objects.exists()
    assert not AccessToken.objects.exists()
    return str(error["message"])


def changed(address: str, **parameters: str) -> str:
    """The address with other parameters."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return parts._replace(query=urlencode({**query, **parameters})).geturl()


# --- the state -----------------------------------------------------------------------------------------------------


def test_the_state_is_random_and_kept_as_a_hash_only(gate: AuthorisationServer) -> None:
    states = {parse_qs(urlsplit(begin(gate)).query)["state"][0] for _ in range(3)}
    assert len(states) == 3
    assert all(len(state) == 43 for state in states)  # 256 bits
    kept = json.dumps(list(OAuthAuthorisation.objects.values()), default=repr)
    assert not [state for state in states if state in kept]


@pytest.mark.parametrize("state", ["", "x", "A" * 43, "\x00" * 43, "é" * 50, "A" * 5000])
def test_an_unknown_state_is_refused_before_anybody_is_asked(gate: AuthorisationServer, state: str) -> None:
    begin(gate)
    refused(come_back(f"{ANSWER}?{urlencode({'state': state, 'code': 'c'})}"), 400, "OAUTH_STATE_UNKNOWN")
    assert gate.exchanges == []


def test_no_parameters_at_all_are_refused(gate: AuthorisationServer) -> None:
    refused(come_back(ANSWER), 400, "OAUTH_STATE_UNKNOWN")


def test_a_parameter_given_twice_is_refused(gate: AuthorisationServer) -> None:
    address = gate.consent(begin(gate))
    refused(come_back(f"{address}&code=other"), 400, "OAUTH_STATE_UNKNOWN")
    assert gate.exchanges == []


def test_a_replay_is_told_clearly_and_sends_no_code(gate: AuthorisationServer) -> None:
    address = gate.consent(begin(gate))
    assert come_back(address).status_code == 200
    assert error_of(come_back(address), 409)["code"] == "OAUTH_STATE_USED"
    assert error_of(come_back(changed(address, code="another")), 409)["code"] == "OAUTH_STATE_USED"
    assert len(gate.exchanges) == 1
    assert IntegrationConnection.objects.count() == 1


def test_a_failed_answer_counts_as_the_one_use(gate: AuthorisationServer) -> None:
    page = begin(gate)
    refused(come_back(gate.deny(page)), 400, "OAUTH_DENIED")
    refused(come_back(gate.consent(page)), 409, "OAUTH_STATE_USED")
    assert gate.exchanges == []


def test_an_authorisation_ends_after_ten_minutes(gate: AuthorisationServer) -> None:
    address = gate.consent(begin(gate))
    row = OAuthAuthorisation.objects.get()
    assert 590 <= (row.expires_at - row.created_at).total_seconds() <= 610
    row.expires_at = row.created_at
    row.save()
    refused(come_back(address), 400, "OAUTH_STATE_EXPIRED")
    assert gate.exchanges == []


@pytest.mark.django_db(transaction=True)
def test_of_two_tabs_one_goes_on(gate: AuthorisationServer) -> None:
    address = gate.consent(begin(gate))
    answers: list[Any] = []
    start = threading.Barrier(4)

    def tab() -> None:
        start.wait()
        answers.append(come_back(address))
        databases.close_all()

    threads = [threading.Thread(target=tab) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(200) == 1
    # Who found no turn at calling providers is told to come back, and used nothing up.
    assert set(statuses) <= {200, 409, 503}
    assert len(gate.exchanges) == 1
    assert IntegrationConnection.objects.count() == 1


def test_the_state_decides_whose_connection_it_is(gate: AuthorisationServer) -> None:
    """A code of one tenant's person under another tenant's state: the verifier does not fit."""
    theirs, mine = gate.consent(begin(gate, GLOBEX)), begin(gate, ACME)
    stolen = parse_qs(urlsplit(theirs).query)["code"][0]
    own = gate.consent(mine)
    refused(come_back(changed(own, code=stolen)), 400, "OAUTH_CODE_REFUSED")
    assert OAuthAuthorisation.objects.get(tenant_id=ACME).outcome == "failed"


def test_a_token_of_another_tenant_changes_nothing_about_the_owner(gate: AuthorisationServer) -> None:
    """The callback takes no tenant from whoever opens it."""
    address = gate.consent(begin(gate, ACME))
    parts = urlsplit(address)
    response = client_of(GLOBEX).get(f"{parts.path}?{parts.query}&tenant_id={GLOBEX}")
    assert response.status_code == 200
    assert IntegrationConnection.objects.get().tenant_id == ACME


# --- mix-up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", ["https://evil.example", "http://127.0.0.1:1", "nonsense", "http://[::1"])
def test_an_answer_of_another_server_is_not_followed(gate: AuthorisationServer, issuer: str) -> None:
    """RFC 9207"""
    gate.issuer = issuer
    refused(come_back(gate.consent(begin(gate))), 400, "OAUTH_OTHER_SERVER")
    assert gate.exchanges == []


def test_the_servers_own_name_is_accepted(gate: AuthorisationServer, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.issuer = f"{gate.url}/login"
    assert come_back(gate.consent(begin(gate))).status_code == 200
    monkeypatch.setattr(GateAdapter, "oauth", gate_oauth(gate, issuer="{origin}"))
    assert error_of(come_back(gate.consent(begin(gate))), 400)["code"] == "OAUTH_OTHER_SERVER"


def test_the_apps_secret_goes_to_no_server_of_a_tenants_choice(gate: AuthorisationServer) -> None:
    elsewhere = json.dumps({"base_url": f"{gate.url.replace('127.0.0.1', '127.0.0.2')}/api"})
    asked = {"display_name": "Mine", "settings": elsewhere}
    error = error_of(client_of().get(AUTHORIZE, asked), 400)  # not an address that may be called
    assert error["code"] == "VALIDATION_FAILED"
    asked["settings"] = '{"base_url": "https://1.1.1.1/api"}'
    error = error_of(client_of().get(AUTHORIZE, asked), 409)
    assert error["code"] == "OAUTH_CLIENT_MISSING"
    assert error["details"] == {"redirect_uri": ANSWER}
    assert "at https://1.1.1.1" in error["message"]
    assert not OAuthAuthorisation.objects.exists()


# --- addresses -----------------------------------------------------------------------------------------------------


def test_the_redirect_address_is_ours_whatever_the_request_says(gate: AuthorisationServer) -> None:
    asked = {"display_name": "Mine", "settings": json.dumps({"base_url": f"{gate.url}/api"})}
    told = client_of().get(AUTHORIZE, asked, HTTP_HOST="testserver", HTTP_X_FORWARDED_HOST="evil.example")
    assert parse_qs(urlsplit(told["Location"]).query)["redirect_uri"] == [ANSWER]
    assert pointers_of(client_of().get(AUTHORIZE, {**asked, "redirect_uri": "https://evil.example"})) == {
        "/redirect_uri"
    }


def test_a_code_granted_for_another_address_is_refused_by_the_server(gate: AuthorisationServer) -> None:
    page = changed(begin(gate), redirect_uri="https://evil.example/cb")
    address = gate.consent(page).replace("https://evil.example/cb", ANSWER)
    refused(come_back(address), 400, "OAUTH_CODE_REFUSED")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example/",
        "/console",
        "https://integrations.example.evil.example/",
        "https://integrations.example@evil.example/",
        "https://evil.example\\@integrations.example/",
        "https://integrations.example:444/",
        "http://integrations.example/",
        "javascript://integrations.example/%0aalert(1)",
        "https://integrations.example\\.evil.example/",
        "https://integrations.example/\r\nSet-Cookie: a=b",
        "https://integrations.example/ ",
        " https://integrations.example/",
        "https://[::1",
        "https://integrations.example/" + "a" * 2000,
    ],
)
def test_a_browser_is_sent_to_no_other_place(gate: AuthorisationServer, url: str) -> None:
    asked = {"display_name": "Mine", "settings": json.dumps({"base_url": f"{gate.url}/api"}), "return_url": url}
    assert pointers_of(client_of().get(AUTHORIZE, asked)) == {"/return_url"}


def test_origins_the_operator_lists_are_places_to_return_to(gate: AuthorisationServer, settings: Any) -> None:
    settings.OAUTH_RETURN_ORIGINS = ["https://app.example/"]
    response = come_back(gate.consent(begin(gate, return_url="https://APP.example/done")))
    assert response["Location"].startswith("https://APP.example/done?outcome=connected")


# --- what the token endpoint answers -------------------------------------------------------------------------------

TOKENS = {"token_type": "bearer", "expires_in": 60}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>sign in</html>", "text/html"),
        (200, b"", "application/json"),
        (200, b"[]", "application/json"),
        (200, json.dumps(TOKENS).encode(), "application/json"),
        (200, json.dumps({**TOKENS, "access_token": ""}).encode(), "application/json"),
        (200, json.dumps({**TOKENS, "access_token": ["a"]}).encode(), "application/json"),
        (200, json.dumps({**TOKENS, "access_token": "a\r\nX-Admin: 1"}).encode(), "application/json"),
        (200, json.dumps({**TOKENS, "access_token": "a\x00b"}).encode(), "application/json"),
        (200, json.dumps({**TOKENS, "access_token": "é"}).encode(), "application/json"),
        (200, json.dumps({**TOKENS, "access_token": "a" * 50_000}).encode(), "application/json"),
        (200, json.dumps({**TOKENS, "access_token": "good", "refresh_token": "a\nb"}).encode(), "application/json"),
        (200, b"[" * 100_000, "application/json"),
        (200, b" " * (21 * 1024 * 1024), "application/json"),
        (302, b"", "text/html"),
        (307, b"", "text/html"),
        (500, b"{}", "application/json"),
    ],
    ids=[
        *("html", "empty", "list", "none", "blank", "wrong type", "header", "nul", "letters", "long", "refresh"),
        *("deep", "huge", "redirect", "repeat", "fault"),
    ],
)
def test_a_hostile_answer_makes_no_connection(gate: AuthorisationServer, status: int, body: bytes, kind: str) -> None:
    gate.answer = (status, body, kind)
    message = refused(come_back(gate.consent(begin(gate))), 502, "PROVIDER_FAILED")
    assert "Start the authorisation again." in message
    assert len(gate.exchanges) == 1
    assert StoredSecret.objects.count() == 1  # the app's own


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("invalid_grant", 400, "OAUTH_CODE_REFUSED"),
        ("invalid_client", 409, "OAUTH_CLIENT_REFUSED"),
        ("bad_verification_code", 400, "OAUTH_REFUSED"),
        ("<script>", 400, "OAUTH_REFUSED"),
    ],
)
def test_an_error_told_with_status_200_is_an_error(
    gate: AuthorisationServer, name: str, status: int, code: str
) -> None:
    told = {"error": name, "error_description": "secret-words", "ok": False}
    gate.answer = (200, json.dumps(told).encode(), "application/json")
    message = refused(come_back(gate.consent(begin(gate))), status, code)
    assert "secret-words" not in message
    assert "<script>" not in message


def test_no_secret_is_in_what_is_kept_and_told(gate: AuthorisationServer, caplog: pytest.LogCaptureFixture) -> None:
    address = gate.consent(begin(gate))
    code = parse_qs(urlsplit(address).query)["code"][0]
    response = come_back(address)
    sent = gate.exchanges[0]
    granted = next(iter(gate.tokens))
    kept = json.dumps(list(OAuthAuthorisation.objects.values()), default=repr) + caplog.text + response.content.decode()
    for secret in (code, granted, sent["client_secret"], sent["code_verifier"]):
        assert secret not in kept
