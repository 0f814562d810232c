"""Signature schemes and secrets in words, for the people who have to enter them somewhere."""

from __future__ import annotations

from providers.spi import Webhook
from providers.verification import (
    BasicScheme,
    Ed25519Scheme,
    Field,
    Header,
    HmacScheme,
    JwtScheme,
    KeySetScheme,
    Scheme,
    SecretForm,
    SharedTokenScheme,
)

_SECRETS = {
    SecretForm.TEXT: "any text of 8 characters or more",
    SecretForm.LONG_TEXT: "any text of 32 characters or more",
    SecretForm.BASE64: "base64",
    SecretForm.WHSEC: "whsec_ and base64 of 24 to 64 bytes",
    SecretForm.PUBLIC_KEY: "the sender's public key: whpk_ and base64, or 64 hexadecimal digits",
    SecretForm.USER_AND_PASSWORD: "user:password",
}


def scheme_words(scheme: Scheme) -> str:
    """How a delivery proves itself: ``HMAC-SHA256 of body and time in the header x-signature``."""
    match scheme:
        case HmacScheme():
            return f"HMAC-{scheme.algorithm.upper()} of {_covered(scheme)} in {_place(scheme.signature)}"
        case Ed25519Scheme():
            return f"Ed25519 signature of {_covered(scheme)} in {_place(scheme.signature)}"
        case SharedTokenScheme():
            return f"the secret itself in {_place(scheme.token)}; it proves the sender, not the body"
        case BasicScheme():
            return "user and password (HTTP basic authentication); they prove the sender, not the body"
        case JwtScheme():
            return f"a token signed with the secret in {_place(scheme.token)}; it proves the sender, not the body"
        case KeySetScheme():
            return f"a token signed with a key the provider publishes, in {_place(scheme.token)}"
        case _:
            return "nothing: whoever knows the URL is believed, if the connection accepts that"


def secret_words(webhook: Webhook, name: str) -> str:
    """Where the secret of a scheme comes from, and what it looks like."""
    form = webhook.schemes[name].secret_form
    if form is SecretForm.NONE:
        return "There is no secret."
    if form is SecretForm.AUDIENCE:
        return "The id of your own app at the provider, which every token must name; it is no secret."
    comes_from_there = name in webhook.secret_from_provider or form is SecretForm.PUBLIC_KEY
    origin = "The provider shows it: paste it here." if comes_from_there else "Leave it empty and one is made."
    return f"{origin} Form: {_SECRETS[form]}."


def _place(place: Header | Field) -> str:
    return f"the header {place.name}" if isinstance(place, Header) else f"the body at {place.pointer}"


def _covered(scheme: HmacScheme | Ed25519Scheme) -> str:
    parts = [name for name in ("body", "timestamp", "id") if f"{{{name}}}" in scheme.template]
    words = {"body": "the body", "timestamp": "the time", "id": "the delivery id"}
    *first, last = [words[part] for part in parts]
    return f"{', '.join(first)} and {last}" if first else last
