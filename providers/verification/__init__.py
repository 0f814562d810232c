"""Signature schemes as data, and the one function that checks them."""

from providers.verification.checking import verify
from providers.verification.outcome import KeysUnavailable, SignatureRejected, Verified
from providers.verification.schemes import (
    BasicScheme,
    Ed25519Scheme,
    Field,
    Header,
    HmacScheme,
    JwtScheme,
    KeySetScheme,
    Scheme,
    SharedTokenScheme,
    UnsignedScheme,
)
from providers.verification.secret_forms import SecretForm, key_of, new_secret
from providers.verification.signing import sign

__all__ = [
    "BasicScheme",
    "Ed25519Scheme",
    "Field",
    "Header",
    "HmacScheme",
    "JwtScheme",
    "KeySetScheme",
    "KeysUnavailable",
    "Scheme",
    "SecretForm",
    "SharedTokenScheme",
    "SignatureRejected",
    "UnsignedScheme",
    "Verified",
    "key_of",
    "new_secret",
    "sign",
    "verify",
]
