"""Ways to change a genuine request so that it proves nothing any more; the same seed gives the same attempts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode


@dataclass(frozen=True)
class Attempt:
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Genuine:
    """A request made by a vendor's own signing code, and what an attacker may know about its making.

    ``proof``: names of the headers of the proof, the signature first, then the clock if there is one.
    ``key``: the key behind the secret; of use here only for digests the door must not take.
    ``message``: the signed bytes. ``signed_at``: the same request signed by the vendor at another time.
    ``strangers``: requests the vendor's code signed with another secret, or for another body.
    """

    attempt: Attempt
    proof: Sequence[str]
    prefix: str
    encoding: Literal["hex", "base64"]
    key: bytes
    message: Callable[[Attempt], bytes]
    strangers: Sequence[Attempt]
    signed_at: Callable[[int], Attempt] | None = None
    tolerance_seconds: int = 300
    future_seconds: int = 60
    now: int

    @property
    def signature(self) -> str:
        return self.attempt.headers[self.proof[0]]

    @property
    def digest(self) -> str:
        return self.signature.removeprefix(self.prefix)

    def signed_with(self, value: str) -> Attempt:
        return self.having(self.proof[0], value)

    def having(self, name: str, value: str | None) -> Attempt:
        headers = {other: text for other, text in self.attempt.headers.items() if other != name}
        return Attempt(headers if value is None else {**headers, name: value}, self.attempt.body)

    def with_body(self, body: bytes) -> Attempt:
        return Attempt(self.attempt.headers, body)

    def encoded(self, raw: bytes) -> str:
        return raw.hex() if self.encoding == "hex" else base64.b64encode(raw).decode()


Mutator = Callable[[random.Random, Genuine], Attempt]

# Blanks are left out: around the entries of a list they mean nothing.
PRINTABLE = string.ascii_letters + string.digits + string.punctuation
ODD = "é\u20ac\udce9\x85\x00\x7f\u0660\uff10\u202e\u200b\ufeff\xa0\u2028\U0001f600\r\n"
PREFIXES = (
    "v0=",
    "v1=",
    "v2=",
    "v0,",
    "v1,",
    "v1a,",
    "v2,",
    "sha1=",
    "sha256=",
    "sha512=",
    "SHA256=",
    "V0=",
    "V1,",
    "t=",
    "=",
)
ALGORITHMS = ("md5", "sha1", "sha224", "sha384", "sha512", "sha3_256", "blake2s")


def changed_character(rng: random.Random, genuine: Genuine) -> Attempt:
    name = rng.choice(genuine.proof)
    value = genuine.attempt.headers[name]
    at = rng.randrange(len(value))
    return genuine.having(name, value[:at] + rng.choice(PRINTABLE) + value[at + 1 :])


def cut_header(rng: random.Random, genuine: Genuine) -> Attempt:
    name = rng.choice(genuine.proof)
    value = genuine.attempt.headers[name]
    start, end = sorted(rng.sample(range(len(value) + 1), 2))
    return genuine.having(name, value[:start] + value[end:] if rng.random() < 0.5 else value[start:end])


def lengthened_header(rng: random.Random, genuine: Genuine) -> Attempt:
    name = rng.choice(genuine.proof)
    value = genuine.attempt.headers[name]
    at = rng.randrange(len(value) + 1)
    more = "".join(rng.choice(PRINTABLE) for _ in range(rng.choice((1, 1, 2, 8, 5000))))
    return genuine.having(name, value[:at] + more + value[at:])


def missing_header(rng: random.Random, genuine: Genuine) -> Attempt:
    name = rng.choice(genuine.proof)
    return genuine.having(name, rng.choice((None, "", " ", "null", "undefined", "0", "-1", "{}")))


def header_of_another_name(rng: random.Random, genuine: Genuine) -> Attempt:
    name = rng.choice(genuine.proof)
    at = rng.randrange(len(name))
    near = rng.choice(
        (name[:at] + name[at + 1 :], f"x-{name}", f"{name}-2", f"{name}s", name.replace("-", "_"), f"{name} ", name[1:])
    )
    moved = genuine.having(name, None)
    return Attempt({**moved.headers, near: genuine.attempt.headers[name]}, moved.body)


def swapped_headers(rng: random.Random, genuine: Genuine) -> Attempt:
    names = list(genuine.attempt.headers)
    one, other = rng.choice(genuine.proof), rng.choice(names)
    headers = dict(genuine.attempt.headers)
    headers[one], headers[other] = headers[other], headers[one]
    return Attempt(headers, genuine.attempt.body)


def header_sent_twice(rng: random.Random, genuine: Genuine) -> Attempt:
    """As a server joins it: with a comma."""
    name = rng.choice(genuine.proof)
    value = genuine.attempt.headers[name]
    other = rng.choice((value, genuine.prefix, "x", "0", value[::-1], str(genuine.now)))
    return genuine.having(name, ",".join(rng.choice(((value, other), (other, value), (value, value, other)))))


def letter_case(rng: random.Random, genuine: Genuine) -> Attempt:
    if rng.random() < 0.2:
        return genuine.signed_with(rng.choice((genuine.signature.upper(), genuine.prefix + genuine.digest.swapcase())))
    letters = [at for at, letter in enumerate(genuine.signature) if letter.isalpha()]
    turned = set(rng.sample(letters, rng.randint(1, len(letters))))
    return genuine.signed_with(
        "".join(letter.swapcase() if at in turned else letter for at, letter in enumerate(genuine.signature))
    )


def odd_character(rng: random.Random, genuine: Genuine) -> Attempt:
    name = rng.choice(genuine.proof)
    value = genuine.attempt.headers[name]
    at = rng.randrange(len(value) + 1)
    return genuine.having(name, value[:at] + rng.choice(ODD) + value[at + rng.choice((0, 1)) :])


def digits_of_another_script(rng: random.Random, genuine: Genuine) -> Attempt:
    name = rng.choice(genuine.proof)
    zero = rng.choice((0x0660, 0x0966, 0xFF10, 0x1D7CE))
    some = set(rng.sample(string.digits, rng.randint(1, 10)))
    return genuine.having(name, "".join(chr(zero + int(c)) if c in some else c for c in genuine.attempt.headers[name]))


def flipped_bit(rng: random.Random, genuine: Genuine) -> Attempt:
    body = bytearray(genuine.attempt.body)
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return genuine.with_body(bytes(body))


def changed_length(rng: random.Random, genuine: Genuine) -> Attempt:
    body = genuine.attempt.body
    start, end = sorted(rng.sample(range(len(body) + 1), 2))
    piece = rng.choice((b"", b" ", b"\n", b"\r\n", b"\x00", b"\xef\xbb\xbf", b"{}", body[start:end]))
    return genuine.with_body(body[:start] + piece + body[start if piece else end :])


def body_written_again(rng: random.Random, genuine: Genuine) -> Attempt:
    body = genuine.attempt.body
    document = json.loads(body)
    extra = {f"k{rng.randrange(10**6)}": rng.random()}
    spaced = json.dumps(document, indent=rng.randint(1, 8), ensure_ascii=rng.random() < 0.5).encode()
    ways = (
        spaced,
        json.dumps({**document, **extra}).encode(),
        json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode(),
        body.decode().encode(rng.choice(("utf-16", "utf-32", "utf-8-sig"))),
        gzip.compress(body, mtime=rng.randrange(10**6)),
        base64.b64encode(body),
        urlencode({"payload": body.decode()}).encode(),
        body * rng.randint(2, 4),
    )
    return genuine.with_body(rng.choice(ways))


def clock_moved(rng: random.Random, genuine: Genuine) -> Attempt:
    """The time alone, as somebody would who has an old request; without a clock, a clock nobody asked for."""
    step = rng.choice((-1, 1)) * rng.choice((1, 30, 299, 301, 10**4, 10**9, 10**15))
    moment = genuine.now + step + rng.randrange(10)
    if genuine.signed_at is None:
        clocked = {"x-timestamp": str(moment), genuine.proof[0]: f"t={moment},{genuine.signature}"}
        return Attempt({**genuine.attempt.headers, **clocked}, genuine.attempt.body)
    words = (str(moment), f"{moment}.0", f"+{moment}", f"0{genuine.now}", f" {genuine.now}", hex(moment), f"{moment}e0")
    return genuine.having(genuine.proof[1], rng.choice(words))


def signed_too_early_or_late(rng: random.Random, genuine: Genuine) -> Attempt:
    """Genuine but for its age: what a recorded request becomes."""
    if genuine.signed_at is None:
        return flipped_bit(rng, genuine)
    past = genuine.tolerance_seconds + rng.choice((1, 1, 60, 3600, 10**8)) + rng.randrange(1000)
    future = genuine.future_seconds + rng.choice((1, 1, 60, 3600, 10**8)) + rng.randrange(1000)
    return genuine.signed_at(rng.choice((genuine.now - past, genuine.now + future)))


def signed_by_a_stranger(rng: random.Random, genuine: Genuine) -> Attempt:
    """The vendor's own code with another secret or for another body."""
    stranger = rng.choice(genuine.strangers)
    body = genuine.attempt.body if rng.random() < 0.5 else stranger.body
    headers = {**genuine.attempt.headers, **{name: stranger.headers[name] for name in genuine.proof}}
    if stranger.body == body:
        return Attempt(headers, body)
    return Attempt(headers, body + str(rng.randrange(10**6)).encode())


def another_key(rng: random.Random, genuine: Genuine) -> Attempt:
    """Keys people take by mistake: the text of the secret, its base64, nothing, a part."""
    key = genuine.key
    keys = (
        b"",
        base64.b64encode(key),
        b"whsec_" + base64.b64encode(key),
        key.hex().encode(),
        key + b"\x01",
        key[: rng.randrange(1, len(key))],
        key[::-1],
        rng.randbytes(32),
    )
    raw = hmac.digest(rng.choice(keys), genuine.message(genuine.attempt), "sha256")
    return genuine.signed_with(genuine.prefix + genuine.encoded(raw))


def weaker_algorithm(rng: random.Random, genuine: Genuine) -> Attempt:
    """With the right key and message: under the right prefix, and under the algorithm's own."""
    name, message = rng.choice(ALGORITHMS), genuine.message(genuine.attempt)
    raw = rng.choice(
        (
            hmac.digest(genuine.key, message, name),
            hashlib.new(name, genuine.key + message).digest(),
            hashlib.sha256(genuine.key + message).digest(),
            hashlib.sha256(message).digest(),
            hmac.digest(genuine.key, message, "sha256")[: rng.randrange(32)],
        )
    )
    return genuine.signed_with(rng.choice((genuine.prefix, f"{name}=", f"{name},", "")) + genuine.encoded(raw))


def another_message(rng: random.Random, genuine: Genuine) -> Attempt:
    """With the right key, over parts left out, turned round or joined otherwise."""
    parts = [genuine.attempt.headers[name].encode() for name in genuine.proof[1:]] + [genuine.attempt.body]
    rng.shuffle(parts)
    joined = rng.choice((b".", b":", b"", b"\n", b"|")).join(parts[: rng.randint(1, len(parts))])
    message = rng.choice((b"", b"v0:", b"v1:", b"v1.", b"sha256=")) + joined + rng.choice((b"", b"\n", b"."))
    if message == genuine.message(genuine.attempt):
        message += b" "
    return genuine.signed_with(genuine.prefix + genuine.encoded(hmac.digest(genuine.key, message, "sha256")))


def another_version(rng: random.Random, genuine: Genuine) -> Attempt:
    prefix = rng.choice([other for other in PREFIXES if other != genuine.prefix] + [""])
    if genuine.prefix.endswith(prefix) and prefix:
        return genuine.signed_with(genuine.digest)
    repeated = rng.choice(("", prefix, genuine.prefix))
    return genuine.signed_with(prefix + repeated + genuine.digest if prefix != repeated else prefix + genuine.digest)


def another_encoding(rng: random.Random, genuine: Genuine) -> Attempt:
    raw = bytes.fromhex(genuine.digest) if genuine.encoding == "hex" else base64.b64decode(genuine.digest)
    pairs = rng.choice((":", "-", " ", "\\x")).join(f"{byte:02x}" for byte in raw)
    ways = [
        pairs,
        "0x" + raw.hex(),
        f'"{genuine.digest}"',
        quote(genuine.digest + "=" * rng.randrange(3), safe="") + "%20",
        base64.b32encode(raw).decode(),
        base64.b85encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(genuine.digest.encode()).decode(),
        base64.b64encode(raw).decode() if genuine.encoding == "hex" else raw.hex(),
        str(int.from_bytes(raw, "big")),
        raw.decode("latin-1"),
    ]
    return genuine.signed_with(rng.choice(("", genuine.prefix)) + rng.choice(ways))


MUTATORS: tuple[Mutator, ...] = (
    changed_character,
    cut_header,
    lengthened_header,
    missing_header,
    header_of_another_name,
    swapped_headers,
    header_sent_twice,
    letter_case,
    odd_character,
    digits_of_another_script,
    flipped_bit,
    changed_length,
    body_written_again,
    clock_moved,
    signed_too_early_or_late,
    signed_by_a_stranger,
    another_key,
    weaker_algorithm,
    another_message,
    another_version,
    another_encoding,
)


def mutations(genuine: Genuine, number: int, *, seed: int) -> Iterator[tuple[str, Attempt]]:
    """``number`` changed requests, each way in turn, none equal to the genuine one."""
    rng = random.Random(seed)
    for count in range(number):
        mutate = MUTATORS[count % len(MUTATORS)]
        attempt = genuine.attempt
        while is_the_same(attempt, genuine.attempt):
            attempt = mutate(rng, genuine)
        yield mutate.__name__, attempt


def is_the_same(one: Attempt, other: Attempt) -> bool:
    return one.body == other.body and _lowered(one.headers) == _lowered(other.headers)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
