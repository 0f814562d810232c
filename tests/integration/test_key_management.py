"""Secrets in key management: to the letter of its contract."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from connections import secret_kms, secret_store
from connections.checks import check_key_management
from connections.exchange import exchange
from connections.models import StoredSecret
from connections.secret_kms import forget_remembered
from connections.secret_port import SecretStore
from connections.secret_store import SecretsUnreachable, SecretUnavailable, get_credential, is_generated
from tests.factories import ACME, GLOBEX
from tests.key_management import KeyManagementStub

pytestmark = pytest.mark.django_db


def store() -> SecretStore:
    return secret_store.secret_store()


def test_a_secret_is_kept_there_and_nowhere_here(kms: KeyManagementStub) -> None:
    before = StoredSecret.objects.count()
    reference = store().put(ACME, "hush")
    assert reference.startswith("kms:")
    assert is_generated(reference)
    assert kms.secrets == {(ACME, f"integration-adapters-{reference.removeprefix('kms:')}"): "hush"}
    assert StoredSecret.objects.count() == before
    forget_remembered()
    assert store().get(ACME, reference) == "hush"


def test_an_operators_secret_is_found_by_its_name_as_text_or_as_object(kms: KeyManagementStub) -> None:
    kms.secrets[ACME, "trackers/acme"] = '{"token": "t"}'
    kms.secrets[ACME, "trackers/object"] = {"token": "o"}
    assert get_credential(ACME, "trackers/acme") == {"token": "t"}
    assert get_credential(ACME, "trackers/object") == {"token": "o"}
    assert not is_generated("trackers/acme")


def test_a_value_is_asked_for_once_a_while_and_each_tenant_for_itself(kms: KeyManagementStub) -> None:
    kms.secrets[ACME, "shared-name"] = "ours"
    assert [store().get(ACME, "shared-name") for _ in range(3)] == ["ours"] * 3
    assert kms.read() == 1
    with pytest.raises(SecretUnavailable, match="this tenant"):
        store().get(GLOBEX, "shared-name")
    kms.secrets[ACME, "shared-name"] = "changed"
    assert store().get(ACME, "shared-name") == "ours"
    assert store().get(ACME, "shared-name", fresh=True) == "changed"
    assert secret_kms._remembered.ttl <= 60


def test_a_name_every_tenant_has_is_looked_up_here_where_only_another_has_it_there(
    settings: Any, kms: KeyManagementStub
) -> None:
    url, settings.KMS_SERVICE_URL = settings.KMS_SERVICE_URL, ""
    store().put(GLOBEX, "theirs, here", name="platform/pm3")
    settings.KMS_SERVICE_URL = url
    store().put(ACME, "ours, there", name="platform/pm3")
    assert store().get(ACME, "platform/pm3") == "ours, there"
    assert store().get(GLOBEX, "platform/pm3") == "theirs, here"


@pytest.mark.parametrize(
    "reference",
    [".", "..", "", "kms:not-an-id", "kms:../../x", "integration-adapters-0198c0de-0000-7000-8000-000000000000"],
)
def test_a_reference_that_would_lead_elsewhere_is_none(kms: KeyManagementStub, reference: str) -> None:
    with pytest.raises(SecretUnavailable):
        store().get(ACME, reference)
    assert kms.calls == []


def test_a_name_is_one_part_of_the_path_whatever_it_holds(kms: KeyManagementStub) -> None:
    for name in ("a/../b", "a b?x=1#y", "\u00fc/%2e"):
        kms.secrets[ACME, name] = "v"
        assert store().get(ACME, name) == "v"


def test_an_operator_is_told_when_it_was_not_kept(kms: KeyManagementStub, monkeypatch: pytest.MonkeyPatch) -> None:
    kms.outage = 503
    monkeypatch.setattr("sys.stdin", io.StringIO("value"))
    with pytest.raises(CommandError, match="did not take"):
        call_command("put_secret", tenant=ACME, name="trackers/acme", stdout=io.StringIO())


def test_a_value_that_ends_soon_is_not_remembered(kms: KeyManagementStub) -> None:
    kms.secrets[ACME, "short"] = "first"
    kms.expires_at = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    assert store().get(ACME, "short") == "first"
    kms.secrets[ACME, "short"] = "second"
    assert store().get(ACME, "short") == "second"


def test_what_was_kept_before_stays_readable(settings: Any, kms: KeyManagementStub) -> None:
    url, settings.KMS_SERVICE_URL = settings.KMS_SERVICE_URL, ""
    reference, name = store().put(ACME, "made before"), store().put(ACME, "named before", name="trackers/old")
    settings.KMS_SERVICE_URL = url
    assert (store().get(ACME, reference), store().get(ACME, name)) == ("made before", "named before")
    store().replace(ACME, reference, "changed here")
    assert store().get(ACME, reference) == "changed here"
    assert [call for call in kms.calls if call[0] == "PUT"] == []
    # What its operator puts there goes before what is here, and a name has one place.
    store().put(ACME, "named again", name=name)
    assert store().get(ACME, name) == "named again"
    assert not StoredSecret.objects.filter(name=name).exists()


def test_a_replaced_secret_is_read_at_once_by_who_replaced_it(kms: KeyManagementStub) -> None:
    reference = store().put(ACME, "old")
    assert store().get(ACME, reference) == "old"
    store().replace(ACME, reference, "new")
    assert store().get(ACME, reference) == "new"
    with pytest.raises(SecretUnavailable):
        store().replace(ACME, "kms:0198c0de-0000-7000-8000-000000000000", "x")
    with pytest.raises(SecretUnavailable):
        store().replace(ACME, "no/such/name", "x")


def test_key_management_renews_what_is_its_own(kms: KeyManagementStub) -> None:
    kms.secrets[ACME, "oauth/acme"] = "tired"
    assert store().get(ACME, "oauth/acme") == "tired"
    kms.renewed["oauth/acme"] = "fresh"
    assert store().refresh(ACME, "oauth/acme") == "fresh"
    assert store().get(ACME, "oauth/acme") == "fresh"
    kms.renewed.clear()
    with pytest.raises(SecretUnavailable, match="no longer renew"):
        store().refresh(ACME, "oauth/acme")
    assert store().refresh(ACME, "not/there") is None
    assert store().refresh(ACME, "secret:0198c0de-0000-7000-8000-000000000000") is None


def test_the_embedded_store_replaces_and_does_not_renew() -> None:
    reference = store().put(ACME, "old")
    store().replace(ACME, reference, "new")
    assert store().get(ACME, reference) == "new"
    assert store().refresh(ACME, reference) is None
    with pytest.raises(SecretUnavailable):
        store().replace(GLOBEX, reference, "theirs")
    assert store().get(ACME, reference) == "new"


@pytest.mark.parametrize("outage", [401, 429, 500, 503])
def test_an_outage_says_nothing_about_a_secret(kms: KeyManagementStub, outage: int) -> None:
    kms.secrets[ACME, "x"] = "v"
    kms.outage = outage
    with pytest.raises(SecretsUnreachable, match=str(outage)):
        store().get(ACME, "x")
    kms.outage = 0
    assert store().get(ACME, "x") == "v"


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"null", b"{}", b'{"secret_value": 7}', b'{"secret_value": ""}', b"\xff"]
)
def test_an_answer_that_is_not_understood_is_no_secret(kms: KeyManagementStub, answer: bytes) -> None:
    kms.answer = answer or b" "
    with pytest.raises(SecretsUnreachable, match="not understood"):
        store().get(ACME, "x")


def test_an_answer_without_end_is_cut_off(kms: KeyManagementStub) -> None:
    kms.answer = b'{"secret_value": "' + b"x" * (2 * 1024 * 1024) + b'"}'
    with pytest.raises(SecretsUnreachable, match="too large"):
        store().get(ACME, "x")


def test_many_callers_do_not_wait_for_the_same_silence(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.KMS_SERVICE_URL = "http://127.0.0.1:9"  # nothing listens on the discard port
    tried = []

    def counted(*args: Any, **options: Any) -> Any:
        tried.append(args[1])
        return exchange(*args, **options)

    monkeypatch.setattr(secret_kms, "exchange", counted)
    for _ in range(3):
        with pytest.raises(SecretsUnreachable, match="does not answer"):
            store().get(ACME, "x")
    assert len(tried) == 1
    forget_remembered()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("KMS_SERVICE_URL", "kms.example.com", "connections.E006"),
        ("KMS_SERVICE_URL", "http://kms.example.com", "connections.E006"),
        ("KMS_TIMEOUT_SECONDS", 0.0, "connections.E007"),
        ("KMS_TIMEOUT_SECONDS", 30.0, "connections.E007"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_boot(settings: Any, name: str, value: Any, problem: str) -> None:
    settings.IS_PRODUCTION = True
    settings.KMS_SERVICE_URL = "https://kms.example.com"
    assert check_key_management() == []
    setattr(settings, name, value)
    assert [found.id for found in check_key_management()] == [problem]
