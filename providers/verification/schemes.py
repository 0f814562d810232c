"""The grammar in which an adapter declares how its provider's requests prove themselves.

Everything here is data. A scheme says where a proof stands, what it covers and which form its secret has;
``providers.verification.checking`` compares. A declaration that would check less than it seems to is refused
with ``ValueError`` when it is made. Families and members: docs/verification.md.

Sources: RFC 2104 (HMAC), RFC 7519 and 8725 (JWT), RFC 7617 (basic), RFC 8032 (Ed25519), the Standard Webhooks
specification 1.0.0 (lists of signatures, time window).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from providers.verification.secret_forms import SecretForm

_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_PARTS = re.compile(r"\{(?:body|timestamp|id)\}")
# Only these: a key that everybody may read must not serve as an HMAC secret (RFC 8725, section 2.1).
_ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})


def _insist(held: object, complaint: str) -> None:
    if not held:
        raise ValueError(complaint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A value in a request header, or several of them.

    ``name`` is lower case. With ``separator`` the header is a list (``t=1,v1=ab``); only entries that begin
    with ``prefix`` count, and the prefix is taken off. Entries of other versions are skipped, so an unknown
    version beside a known one is harmless and alone is a refusal.
    """

    name: str
    prefix: str = ""
    separator: str = ""

    def __post_init__(self) -> None:
        _insist(_HEADER_NAME.fullmatch(self.name), "a header name is lower case, as it arrives")
        _insist(not self.separator or self.separator not in self.prefix, "a prefix cannot hold the separator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A value in the JSON body, by pointer (RFC 6901); a step ``*`` means every item of an array."""

    pointer: str

    def __post_init__(self) -> None:
        _insist(_POINTER.fullmatch(self.pointer), "a pointer begins with a slash")


Place = Header | Field

TimeUnit = Literal["seconds", "milliseconds", "iso8601"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignatureScheme:
    """What both kinds of signature have: a text put together of literals and parts of the request.

    ``template``: the signed bytes, made of literals and ``{body}``, ``{timestamp}``, ``{id}``.
    ``timestamp``, ``id``: where those parts stand, as received; they are not reformatted before the check.
    A timestamp in a field may be left out of the template where the signed body holds it anyway.
    ``clock_per_attempt``: whether the signed time is that of this attempt. Only then is its age judged: a
    time of the happening is old on every retry.
    """

    signature: Place
    encoding: Literal["hex", "base64"]
    template: str
    timestamp: Place | None = None
    timestamp_unit: TimeUnit = "seconds"
    clock_per_attempt: bool = True
    id: Place | None = None
    secret_form: SecretForm

    @property
    def covers_body(self) -> bool:
        return "{body}" in self.template

    @property
    def signs_clock(self) -> bool:
        """Whether a verified request tells when it was sent."""
        return self.timestamp is not None and self.clock_per_attempt

    def __post_init__(self) -> None:
        literals = "".join(_PARTS.split(self.template))
        _insist("{" not in literals and "}" not in literals, "the template names a part nobody knows")
        _insist(_PARTS.search(self.template), "the template names no part of the request")
        _insist("{id}" not in self.template or self.id, "the template signs an id that stands nowhere")
        _insist("{id}" in self.template or not self.id, "an id that is not signed proves nothing")
        _insist("{timestamp}" not in self.template or self.timestamp, "the template signs a time that stands nowhere")
        in_signed_body = self.covers_body and isinstance(self.timestamp, Field)
        _insist(
            "{timestamp}" in self.template or not self.timestamp or in_signed_body,
            "a time that is not signed proves nothing",
        )
        for place in (self.timestamp, self.id):
            if isinstance(place, Header) and isinstance(self.signature, Header) and place.name == self.signature.name:
                _insist(
                    place.separator and place.separator == self.signature.separator and place.prefix,
                    "parts that share a header need the same separator, and prefixes",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class HmacScheme(_SignatureScheme):
    """A keyed digest over what ``template`` lists; ``secret_form`` says how its key is written down."""

    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    template: str = "{body}"
    secret_form: SecretForm = SecretForm.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Ed25519Scheme(_SignatureScheme):
    """An asymmetric signature; the secret of the registration is the sender's public key."""

    encoding: Literal["hex", "base64"] = "base64"
    template: str = "{timestamp}{body}"
    secret_form: SecretForm = SecretForm.PUBLIC_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTokenScheme:
    """A constant secret in a header or field. Proves the sender over TLS, not the body.

    Where the place holds several values (a field below ``*``), every one of them must be the secret.
    """

    token: Place
    secret_form: SecretForm = SecretForm.TEXT
    signs_clock: Literal[False] = False
    covers_body: Literal[False] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicScheme:
    """``Authorization: Basic`` with a user and password of ours; the secret is ``user:password``."""

    secret_form: SecretForm = SecretForm.USER_AND_PASSWORD
    signs_clock: Literal[False] = False
    covers_body: Literal[False] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtScheme:
    """A token signed with the shared secret (HS256). Proves the sender, not the body.

    A secret shorter than the digest, 32 bytes, verifies nothing (RFC 7518, section 3.2).
    """

    token: Header = Header(name="authorization", prefix="Bearer ")
    leeway_seconds: int = 30
    secret_form: SecretForm = SecretForm.LONG_TEXT
    signs_clock: Literal[False] = False
    covers_body: Literal[False] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySetScheme:
    """A token signed with a key the provider publishes (JWKS, RFC 7517).

    The secret of the registration is the audience the token must name: the id of the customer's own app.
    ``keys_url``: the key set itself, or an OpenID document whose ``jwks_uri`` leads to it. It is fetched
    ahead of time by a task, never while a request waits.
    ``key_endorsement``: word the key's ``endorsements`` must hold (Bot Framework); empty: none asked for.
    """

    keys_url: str
    issuer: str
    token: Header = Header(name="authorization", prefix="Bearer ")
    algorithms: tuple[str, ...] = ("RS256",)
    leeway_seconds: int = 300
    key_endorsement: str = ""
    secret_form: SecretForm = SecretForm.AUDIENCE
    signs_clock: Literal[False] = False
    covers_body: Literal[False] = False

    def __post_init__(self) -> None:
        _insist(self.issuer, "any issuer would do")
        asymmetric = self.algorithms and _ASYMMETRIC.issuperset(self.algorithms)
        _insist(asymmetric, "published keys need asymmetric algorithms")
        _insist(self.keys_url.startswith("https://"), "keys are fetched over TLS")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedScheme:
    """The provider proves nothing beyond knowing the URL.

    Accepted only where the connection holds a waiver that names who accepted this and why.
    """

    secret_form: SecretForm = SecretForm.NONE
    signs_clock: Literal[False] = False
    covers_body: Literal[False] = False


Scheme = HmacScheme | Ed25519Scheme | SharedTokenScheme | BasicScheme | JwtScheme | KeySetScheme | UnsignedScheme
