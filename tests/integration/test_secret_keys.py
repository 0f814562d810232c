"""Secrets at rest: keys can be changed, and what an operator hands in is checked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from django.core.management import CommandError, call_command

from connections import secret_store
from connections.models import StoredSecret
from connections.secret_store import SecretUnavailable
from tests.factories import ACME

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def fresh_cipher() -> Iterator[None]:
    secret_store._cipher.cache_clear()
    yield
    secret_store._cipher.cache_clear()


def use(settings: Any, *keys: str) -> None:
    settings.SECRETS_KEYS = list(keys)
    secret_store._cipher.cache_clear()


def test_after_a_new_key_old_secrets_are_read_and_new_ones_need_only_the_new_key(settings: Any) -> None:
    store = secret_store.secret_store()
    use(settings, OLD)
    old = store.put(ACME, "written before")
    use(settings, NEW, OLD)
    new = store.put(ACME, "written after")
    assert store.get(ACME, old) == "written before"
    use(settings, NEW)
    assert store.get(ACME, new) == "written after"
    with pytest.raises(SecretUnavailable, match="any configured key"):
        store.get(ACME, old)


def rewritten() -> str:
    out = io.StringIO()
    call_command("reencrypt_secrets", stdout=out)
    return out.getvalue()


def test_after_secrets_are_written_anew_the_old_key_can_go(settings: Any) -> None:
    store = secret_store.secret_store()
    use(settings, OLD)
    references = [store.put(ACME, f"value {number}") for number in range(5)]
    use(settings, NEW, OLD)
    references.append(store.put(ACME, "value 5"))
    assert rewritten().startswith("5 ")
    assert rewritten().startswith("0 ")
    use(settings, NEW)
    assert [store.get(ACME, reference) for reference in references] == [f"value {number}" for number in range(6)]


def test_a_secret_no_key_reads_is_named_and_the_others_are_written_anew(settings: Any) -> None:
    store = secret_store.secret_store()
    use(settings, Fernet.generate_key().decode())
    lost = StoredSecret.objects.get(pk=store.put(ACME, "lost").removeprefix("secret:"))
    use(settings, OLD)
    kept = store.put(ACME, "kept")
    use(settings, NEW, OLD)
    with pytest.raises(CommandError, match=r"^1 secrets"):
        rewritten()
    assert bytes(StoredSecret.objects.get(pk=lost.pk).ciphertext) == bytes(lost.ciphertext)
    use(settings, NEW)
    assert store.get(ACME, kept) == "kept"


def test_a_secret_that_changes_meanwhile_keeps_what_it_changed_to(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = secret_store.secret_store()
    use(settings, OLD)
    reference = store.put(ACME, "before")
    use(settings, NEW, OLD)
    rotate = MultiFernet.rotate

    def slow(self: MultiFernet, written: bytes) -> bytes:
        store.replace(ACME, reference, "after")
        return rotate(self, written)

    monkeypatch.setattr(MultiFernet, "rotate", slow)
    assert rewritten().startswith("0 ")
    assert store.get(ACME, reference) == "after"


def put(monkeypatch: pytest.MonkeyPatch, raw: bytes, **options: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="surrogateescape"))
    call_command("put_secret", **{"tenant": ACME, **options}, stdout=io.StringIO())


@pytest.mark.parametrize(
    ("raw", "options"),
    [
        (b"", {}),
        (b"\xff\xfe", {}),
        (b"value", {"tenant": ""}),
        (b"value", {"tenant": "a" * 101}),
        (b"value", {"name": "a" * 101}),
        # Such a name would be read as a generated reference and never be found again.
        (b"value", {"name": "secret:mine"}),
    ],
)
def test_an_operators_secret_that_cannot_be_kept_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, options: dict[str, str]
) -> None:
    with pytest.raises(CommandError):
        put(monkeypatch, raw, **options)
    assert not StoredSecret.objects.exists()


def test_an_operators_secret_is_kept_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, b"value\n", name="platform/pm3")
    assert secret_store.secret_store().get(ACME, "platform/pm3") == "value"
