"""How secrets of webhooks are written down, checked and made."""

from __future__ import annotations

import base64
import binascii
import secrets
from enum import StrEnum

SECRET_BYTES = 32
_STANDARD_PREFIX = "whsec_"
_PUBLIC_KEY_PREFIX = "whpk_"
_PUBLIC_KEY_BYTES = 32
# Standard Webhooks 1.0.0: between 192 and 512 bits.
_STANDARD_BYTES = range(24, 65)


class SecretForm(StrEnum):
    """The text a person copies, and the key it stands for."""

    TEXT = "text"
    """The key is the UTF-8 text itself."""
    LONG_TEXT = "long_text"
    """As text, of at least 32 bytes: shorter keys are refused for signed tokens (RFC 7518, section 3.2)."""
    BASE64 = "base64"
    """The key is what the base64 text decodes to."""
    WHSEC = "whsec"
    """``whsec_`` and base64 of 24 to 64 bytes."""
    PUBLIC_KEY = "public_key"
    """``whpk_`` and base64, or 64 hexadecimal digits: 32 bytes of an Ed25519 public key."""
    USER_AND_PASSWORD = "user_and_password"
    """``user:password``; the password may hold colons."""
    AUDIENCE = "audience"
    """Not a secret: the audience a token must name."""
    NONE = "none"
    """Nothing is proven."""


def key_of(form: SecretForm, text: bytes) -> bytes:
    """The key behind the text of a secret. Raises ``ValueError`` with words for the person who gave it."""
    match form:
        case SecretForm.LONG_TEXT:
            if len(text) < SECRET_BYTES:
                raise ValueError(f"must have at least {SECRET_BYTES} characters")
            return text
        case SecretForm.BASE64:
            return _decoded(text, "must be base64")
        case SecretForm.WHSEC:
            if not text.startswith(_STANDARD_PREFIX.encode()):
                raise ValueError("must begin with whsec_")
            key = _decoded(text[len(_STANDARD_PREFIX) :], "must be base64 after whsec_")
            if len(key) not in _STANDARD_BYTES:
                raise ValueError("must hold 24 to 64 bytes after whsec_")
            return key
        case SecretForm.PUBLIC_KEY:
            return _public_key(text)
        case SecretForm.USER_AND_PASSWORD:
            user, colon, password = text.partition(b":")
            if not (user and colon and password):
                raise ValueError("must be user:password")
            return text
        case _:
            if not text:
                raise ValueError("must not be empty")
            return text


def new_secret(form: SecretForm) -> str:
    """A new random secret of 32 bytes. Raises ``ValueError`` where only the provider can give it."""
    match form:
        case SecretForm.TEXT | SecretForm.LONG_TEXT:
            return secrets.token_urlsafe(SECRET_BYTES)
        case SecretForm.BASE64:
            return base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        case SecretForm.WHSEC:
            return _STANDARD_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        case SecretForm.USER_AND_PASSWORD:
            return f"signals:{secrets.token_urlsafe(SECRET_BYTES)}"
        case SecretForm.NONE:
            return ""
        case _:
            raise ValueError("is needed: it comes from the provider")


def _public_key(text: bytes) -> bytes:
    prefix = _PUBLIC_KEY_PREFIX.encode()
    try:
        key = _decoded(text[len(prefix) :], "") if text.startswith(prefix) else bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _PUBLIC_KEY_BYTES:
        raise ValueError("must be whpk_ and base64, or hexadecimal, of a 32 byte public key")
    return key


def _decoded(text: bytes, complaint: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(complaint) from None
    if not key:
        raise ValueError(complaint)
    return key
