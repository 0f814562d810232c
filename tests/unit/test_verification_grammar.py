"""What a declaration may say, and how the parts of a proof are read out of a hostile request."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from providers.verification import (
    BasicScheme,
    Ed25519Scheme,
    Field,
    Header,
    HmacScheme,
    KeySetScheme,
    Scheme,
    SharedTokenScheme,
    SignatureRejected,
    Verified,
    checking,
    sign,
    verify,
)

SECRET = b"grammar-secret-0123456789abcdefghijk"
OLD = b"older-secret-0123456789abcdefghijklm"
BODY = b'{"a": 1}'
SIGNATURE = Header(name="x-signature")
TIME = Header(name="x-time")
LIST = Header(name="x-signature", prefix="v1=", separator=",")
LISTED = HmacScheme(signature=LIST)
CLOCKED = HmacScheme(signature=SIGNATURE, template="{timestamp}.{body}", timestamp=TIME)
NAMED = HmacScheme(signature=SIGNATURE, template="{id}.{body}", id=Header(name="x-id"))
IN_BODY = HmacScheme(
    signature=Field(pointer="/proof/mac"),
    template="{timestamp}{id}",
    timestamp=Field(pointer="/proof/at"),
    id=Field(pointer="/proof/nonce"),
)
EVERY_ITEM = SharedTokenScheme(token=Field(pointer="/value/*/state"))


def mac(message: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def check(scheme: Scheme, headers: dict[str, str], *, body: bytes = BODY, secrets: Any = (SECRET,)) -> Verified:
    return verify(scheme, headers=headers, body=body, secrets=secrets)


def reason(scheme: Scheme, headers: dict[str, str], **rest: Any) -> str:
    with pytest.raises(SignatureRejected) as caught:
        check(scheme, headers, **rest)
    return caught.value.reason


UNSOUND: dict[str, Callable[[], object]] = {
    "header in capitals": lambda: Header(name="X-Signature"),
    "header without a name": lambda: Header(name=""),
    "header with a blank": lambda: Header(name="x signature"),
    "separator inside the prefix": lambda: Header(name="x-signature", prefix="v1,", separator=","),
    "pointer without a slash": lambda: Field(pointer="token"),
    "empty pointer": lambda: Field(pointer=""),
    "pointer with a stray tilde": lambda: Field(pointer="/a~2b"),
    "part nobody knows": lambda: HmacScheme(signature=SIGNATURE, template="{url}{body}"),
    "part misspelled": lambda: HmacScheme(signature=SIGNATURE, template="{timestamp:{body}", timestamp=TIME),
    "constant message": lambda: HmacScheme(signature=SIGNATURE, template="hello"),
    "time that stands nowhere": lambda: HmacScheme(signature=SIGNATURE, template="{timestamp}.{body}"),
    "id that stands nowhere": lambda: HmacScheme(signature=SIGNATURE, template="{id}.{body}"),
    "time that is not signed": lambda: HmacScheme(signature=SIGNATURE, timestamp=TIME),
    "time in a body that is not signed": lambda: HmacScheme(
        signature=SIGNATURE, template="{id}", id=Header(name="x-id"), timestamp=Field(pointer="/at")
    ),
    "id that is not signed": lambda: HmacScheme(signature=SIGNATURE, id=Header(name="x-id")),
    "shared header without separator": lambda: HmacScheme(
        signature=SIGNATURE, template="{timestamp}.{body}", timestamp=SIGNATURE
    ),
    "shared header with two separators": lambda: HmacScheme(
        signature=LIST,
        template="{timestamp}.{body}",
        timestamp=Header(name="x-signature", prefix="t=", separator=";"),
    ),
    "asymmetric without a time": lambda: Ed25519Scheme(signature=SIGNATURE),
    "any issuer": lambda: KeySetScheme(keys_url="https://keys.example", issuer=""),
    "keys without TLS": lambda: KeySetScheme(keys_url="http://keys.example", issuer="i"),
    "published key as a secret": lambda: KeySetScheme(
        keys_url="https://keys.example", issuer="i", algorithms=("RS256", "HS256")
    ),
    "no algorithm": lambda: KeySetScheme(keys_url="https://keys.example", issuer="i", algorithms=()),
    "algorithm none": lambda: KeySetScheme(keys_url="https://keys.example", issuer="i", algorithms=("none",)),
}


@pytest.mark.parametrize("declare", UNSOUND.values(), ids=UNSOUND.keys())
def test_a_declaration_that_would_check_less_than_it_says_is_refused(declare: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        declare()


class TestList:
    def test_any_entry_of_the_known_version_opens(self) -> None:
        good = f"v1={mac(BODY)}"
        for value in (
            good,
            f"v0=x,{good}",
            f"v1=x,{good}",
            f"{good},v2=x",
            f"v1={mac(BODY, OLD)},{good}",
            f"v1=, {good}",
        ):
            assert check(LISTED, {"x-signature": value}).secret_index == 0

    def test_a_list_without_the_known_version_is_malformed(self) -> None:
        for value in (f"v0={mac(BODY)}", mac(BODY), ",", "v1", f"V1={mac(BODY)}", f" x v1={mac(BODY)}"):
            assert reason(LISTED, {"x-signature": value}) == "signature_malformed"

    def test_a_list_of_nothing_is_missing(self) -> None:
        assert reason(LISTED, {"x-signature": "v1=,v1="}) == "signature_missing"

    def test_sixteen_entries_are_looked_at_and_no_more(self) -> None:
        bad, good = ["v1=x"] * 15, f"v1={mac(BODY)}"
        assert check(LISTED, {"x-signature": ",".join([*bad, good])})
        assert reason(LISTED, {"x-signature": ",".join([*bad, good, "v1=x"])}) == "signature_malformed"
        assert reason(LISTED, {"x-signature": "," * 4000 + good}) == "signature_malformed"

    def test_only_blanks_around_entries_are_taken_off(self) -> None:
        good = f"v1={mac(BODY)}"
        assert check(LISTED, {"x-signature": f"v0=x,\t {good} "})
        for odd in ("\x0b", "\x85", "\u2003", "\x00", "\xa0"):
            assert reason(LISTED, {"x-signature": good + odd}) == "signature_mismatch"

    def test_the_fingerprint_is_the_signatures_and_not_the_headers(self) -> None:
        """A stranger who adds entries to a seen header does not make a new signature of it."""
        seen = check(LISTED, {"x-signature": f"v1={mac(BODY)}"}).fingerprint
        assert seen == hashlib.sha256(mac(BODY).encode()).digest()
        assert check(LISTED, {"x-signature": f"v0=1,v1=2, v1={mac(BODY)}"}).fingerprint == seen

    def test_both_secrets_of_a_rotating_sender_count(self) -> None:
        value = f"v1={mac(BODY, OLD)},v1={mac(BODY)}"
        assert check(LISTED, {"x-signature": value}).secret_index == 0
        assert check(LISTED, {"x-signature": value}, secrets=(b"new", OLD)).secret_index == 1


class TestSingleValue:
    def test_a_header_sent_twice_arrives_joined_and_is_refused(self) -> None:
        good = mac(BODY)
        for value in (f"{good},{good}", f"{good}, {good}", f"x,{good}", f"{good},"):
            assert reason(HmacScheme(signature=SIGNATURE), {"x-signature": value}) == "signature_mismatch"

    def test_blanks_around_it_are_not_taken_off(self) -> None:
        for value in (" " + mac(BODY), mac(BODY) + " "):
            assert reason(HmacScheme(signature=SIGNATURE), {"x-signature": value}) == "signature_mismatch"


class TestClock:
    def test_a_time_sent_twice_is_malformed(self) -> None:
        scheme = HmacScheme(
            signature=LIST,
            template="{timestamp}.{body}",
            timestamp=Header(name="x-signature", prefix="t=", separator=","),
        )
        good = f"v1={mac(b'1800000000.' + BODY)}"
        assert check(scheme, {"x-signature": f"t=1800000000,{good}"}).signed_at
        assert reason(scheme, {"x-signature": f"t=1800000000,t=1,{good}"}) == "timestamp_malformed"
        assert reason(scheme, {"x-signature": good}) == "timestamp_malformed"
        assert reason(scheme, {"x-signature": f"t=,{good}"}) == "timestamp_missing"

    @pytest.mark.parametrize(
        ("unit", "text", "moment"),
        [
            ("seconds", "1800000000", datetime(2027, 1, 15, 8, tzinfo=UTC)),
            ("milliseconds", "1800000000250", datetime(2027, 1, 15, 8, 0, 0, 250000, tzinfo=UTC)),
            ("iso8601", "2027-01-15T09:00:00.5+01:00", datetime(2027, 1, 15, 8, 0, 0, 500000, tzinfo=UTC)),
        ],
    )
    def test_it_is_signed_as_received_and_read_in_its_unit(self, unit: Any, text: str, moment: datetime) -> None:
        scheme = HmacScheme(signature=SIGNATURE, template="{timestamp}{body}", timestamp=TIME, timestamp_unit=unit)
        headers = {"x-signature": mac(text.encode() + BODY), "x-time": text}
        assert check(scheme, headers).signed_at == moment

    @pytest.mark.parametrize(
        ("unit", "text"),
        [
            ("milliseconds", "1800000000.250"),
            ("milliseconds", "9" * 15),
            ("seconds", "9" * 12),
            ("iso8601", "2027-01-15T09:00:00"),
            ("iso8601", "1800000000"),
            ("iso8601", "9999-99-99T00:00:00Z"),
            ("iso8601", "0001-01-01T00:00:00+14:00"),
        ],
    )
    def test_a_signed_time_that_is_none_is_refused_although_signed(self, unit: Any, text: str) -> None:
        scheme = HmacScheme(signature=SIGNATURE, template="{timestamp}{body}", timestamp=TIME, timestamp_unit=unit)
        headers = {"x-signature": mac(text.encode() + BODY), "x-time": text}
        assert reason(scheme, headers) == "timestamp_malformed"

    def test_a_time_of_the_happening_is_signed_but_not_told(self) -> None:
        scheme = HmacScheme(signature=SIGNATURE, template="{timestamp}.{body}", timestamp=TIME, clock_per_attempt=False)
        headers = sign(scheme, body=BODY, secret=SECRET, timestamp=1)
        assert check(scheme, headers).signed_at is None
        assert reason(scheme, {**headers, "x-time": "2"}) == "signature_mismatch"

    def test_a_field_of_a_signed_body_is_a_signed_time(self) -> None:
        scheme = HmacScheme(signature=SIGNATURE, timestamp=Field(pointer="/sent"), timestamp_unit="milliseconds")
        body = b'{"sent":1800000000250}'
        verified = check(scheme, {"x-signature": mac(body)}, body=body)
        assert verified.signed_at == datetime(2027, 1, 15, 8, 0, 0, 250000, tzinfo=UTC)
        assert reason(scheme, {"x-signature": mac(BODY)}) == "timestamp_missing"
        assert reason(scheme, {"x-signature": mac(b"junk")}, body=b"junk") == "timestamp_missing"


class TestId:
    def test_it_is_covered(self) -> None:
        headers = sign(NAMED, body=BODY, secret=SECRET, identifier="msg_1")
        assert check(NAMED, headers).fingerprint
        assert reason(NAMED, {**headers, "x-id": "msg_2"}) == "signature_mismatch"

    def test_one_that_is_missing_over_long_or_odd_is_refused(self) -> None:
        for text, expected in (("", "id_missing"), ("x" * 256, "id_malformed"), ("x" * 5000, "id_malformed")):
            headers = {"x-signature": mac(text.encode() + b"." + BODY), "x-id": text}
            assert reason(NAMED, headers) == expected
        for text in ("msg_\udce9", "msg_\u20ac"):
            assert reason(NAMED, {"x-signature": mac(b"msg_." + BODY), "x-id": text}) == "signature_mismatch"


class TestFieldsOfTheBody:
    def proof(self, **changes: Any) -> bytes:
        members = {"at": "1800000000", "nonce": "n0nce", "mac": mac(b"1800000000n0nce"), **changes}
        return orjson.dumps({"proof": {name: value for name, value in members.items() if value is not ...}, "rest": 1})

    def test_a_proof_in_the_body_covers_what_it_lists(self) -> None:
        verified = check(IN_BODY, {}, body=self.proof())
        assert verified.signed_at == datetime(2027, 1, 15, 8, tzinfo=UTC)
        assert verified.fingerprint == hashlib.sha256(mac(b"1800000000n0nce").encode()).digest()
        # The rest is not covered, and a scheme says so.
        assert not IN_BODY.covers_body
        assert check(IN_BODY, {}, body=self.proof().replace(b'"rest":1', b'"rest":2')).fingerprint

    def test_a_number_is_its_digits(self) -> None:
        assert check(IN_BODY, {}, body=self.proof(at=1800000000))

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"mac": ...}, "signature_missing"),
            ({"mac": None}, "signature_missing"),
            ({"mac": [mac(b"1800000000n0nce")]}, "signature_missing"),
            ({"mac": {"0": "x"}}, "signature_missing"),
            ({"mac": True}, "signature_missing"),
            ({"mac": "é"}, "signature_mismatch"),
            ({"mac": mac(b"1800000000n0nce").upper()}, "signature_mismatch"),
            ({"mac": "x" * 100_000}, "signature_mismatch"),
            ({"at": ...}, "timestamp_missing"),
            ({"at": False}, "timestamp_missing"),
            ({"at": 1800000000.0}, "timestamp_missing"),
            ({"at": -1}, "timestamp_malformed"),
            ({"at": "1800000001"}, "signature_mismatch"),
            ({"nonce": ...}, "id_missing"),
            ({"nonce": "n" * 300}, "id_malformed"),
            ({"nonce": "other"}, "signature_mismatch"),
        ],
    )
    def test_anything_else_is_refused(self, changes: dict[str, Any], expected: str) -> None:
        assert reason(IN_BODY, {}, body=self.proof(**changes)) == expected

    def test_a_number_that_no_machine_word_holds_is_no_time(self) -> None:
        body = self.proof().replace(b'"1800000000"', b"1" + b"0" * 30)
        assert reason(IN_BODY, {}, body=body) == "timestamp_missing"

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"7", b"[]", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"proof":[]}']
    )
    def test_a_body_that_is_no_object_proves_nothing(self, body: bytes) -> None:
        assert reason(IN_BODY, {}, body=body) == "signature_missing"
        assert reason(EVERY_ITEM, {}, body=body) == "signature_missing"


class TestTokenOfEveryItem:
    def test_every_item_must_hold_it(self) -> None:
        good = {"state": SECRET.decode()}
        assert check(EVERY_ITEM, {}, body=orjson.dumps({"value": [good]})).fingerprint is None
        assert check(EVERY_ITEM, {}, body=orjson.dumps({"value": [good, good]}))
        for stranger in ({"state": "x"}, {}, {"state": None}, {"state": [SECRET.decode()]}, None, 7, "x", [good]):
            for items in ([good, stranger], [stranger, good]):
                assert reason(EVERY_ITEM, {}, body=orjson.dumps({"value": items})) == "signature_mismatch"

    def test_no_more_items_are_looked_at_than_a_proof_may_cost(self) -> None:
        good = {"state": SECRET.decode()}
        assert check(EVERY_ITEM, {}, body=orjson.dumps({"value": [good] * 1000}))
        assert reason(EVERY_ITEM, {}, body=orjson.dumps({"value": [good] * 1001})) == "signature_malformed"

    def test_no_item_is_no_proof(self) -> None:
        for value in ([], {}, None, {"state": SECRET.decode()}, SECRET.decode(), {"*": [{"state": SECRET.decode()}]}):
            assert reason(EVERY_ITEM, {}, body=orjson.dumps({"value": value})) == "signature_missing"

    def test_a_list_inside_an_item_must_not_hide_it(self) -> None:
        scheme = SharedTokenScheme(token=Field(pointer="/value/*/parts/*/state"))
        good = {"parts": [{"state": SECRET.decode()}]}
        assert check(scheme, {}, body=orjson.dumps({"value": [good, good]}))
        for stranger in ({"parts": []}, {"parts": "x"}, {"parts": None}, {}):
            assert reason(scheme, {}, body=orjson.dumps({"value": [good, stranger]})) == "signature_mismatch"

    def test_during_a_rotation_items_may_hold_either_secret(self) -> None:
        body = orjson.dumps({"value": [{"state": SECRET.decode()}, {"state": OLD.decode()}]})
        assert check(EVERY_ITEM, {}, body=body, secrets=(SECRET, OLD)).secret_index == 1
        assert reason(EVERY_ITEM, {}, body=body) == "signature_mismatch"

    def test_a_step_may_be_escaped_or_a_number(self) -> None:
        for pointer, document in (("/a~1b/c~0d", {"a/b": {"c~d": "T"}}), ("/0/a", [{"a": "T"}]), ("/*x", {"*x": "T"})):
            scheme = SharedTokenScheme(token=Field(pointer=pointer))
            assert check(scheme, {}, body=orjson.dumps(document), secrets=(b"T",))


class TestNoEarlyExit:
    """Counted, not timed: how much is compared must not depend on what matches."""

    KEYS = (SECRET, OLD, b"third-secret")

    def compared(self, monkeypatch: pytest.MonkeyPatch, scheme: Scheme, headers: dict[str, str]) -> int:
        count = 0
        compare = hmac.compare_digest

        def counting(one: bytes, other: bytes) -> bool:
            nonlocal count
            count += 1
            assert isinstance(one, bytes)
            assert isinstance(other, bytes)
            return compare(one, other)

        monkeypatch.setattr(checking.hmac, "compare_digest", counting)
        try:
            check(scheme, headers, secrets=self.KEYS)
        except SignatureRejected:
            pass
        finally:
            monkeypatch.undo()
        return count

    def test_every_secret_meets_every_entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for secret in (*self.KEYS, b"stranger"):
            for value in (f"v1={mac(BODY, secret)},v1=x", f"v1=x,v1={mac(BODY, secret)}"):
                assert self.compared(monkeypatch, LISTED, {"x-signature": value}) == 6

    def test_so_it_is_for_tokens_and_passwords(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scheme = SharedTokenScheme(token=Header(name="x-token"))
        for secret in (*self.KEYS, b"stranger"):
            assert self.compared(monkeypatch, scheme, {"x-token": secret.decode()}) == 3
            value = base64.b64encode(secret).decode()
            assert self.compared(monkeypatch, BasicScheme(), {"authorization": f"Basic {value}"}) == 3
