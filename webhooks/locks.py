"""How a door is locked: a scheme of the provider, and a secret in the form that scheme needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from connections import validation
from connections.models import IntegrationConnection
from connections.secret_store import SecretUnavailable, secret_store
from providers.spi import Webhook
from providers.verification import Scheme, SecretForm, key_of, new_secret
from webhooks.models import WebhookRegistration

MIN_SECRET_LENGTH = 8
MAX_SECRET_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Lock:
    """Scheme of a new door, and its secret or a reference to it."""

    webhook: Webhook
    name: str
    scheme: Scheme
    secret: str = field(repr=False)
    secret_ref: str


def new_lock(
    webhook: Webhook, tenant_id: str, name: str, *, secret: str, secret_ref: str, made_through_api: bool = False
) -> Lock:
    """The lock asked for. ``name`` is a scheme of the provider, empty for its first.

    Where the hook is ``made_through_api`` the secret may be ours even if the provider's own pages make one.
    Raises ``ServiceError`` for what cannot be.
    """
    if secret and secret_ref:
        raise validation.invalid(validation.problem("/secret", "give either secret or secret_ref, not both"))
    name = name or next(iter(webhook.schemes))
    if name not in webhook.schemes:
        raise validation.invalid(validation.problem("/scheme", f"must be one of {', '.join(webhook.schemes)}"))
    scheme = webhook.schemes[name]
    if secret_ref:
        _check_secret_ref(tenant_id, secret_ref, scheme.secret_form)
        return Lock(webhook, name, scheme, "", secret_ref)
    must_be_given = name in webhook.secret_from_provider and not made_through_api
    return Lock(webhook, name, scheme, checked_secret(scheme.secret_form, secret, must_be_given=must_be_given), "")


def checked_secret(form: SecretForm, secret: str, *, must_be_given: bool) -> str:
    """The given secret, in the form its scheme needs, or a new one where we may make it."""
    try:
        if not secret:
            if must_be_given:
                raise ValueError("is needed: it comes from the provider")
            return new_secret(form)
        _check_form(form, secret)
    except ValueError as error:
        raise validation.invalid(validation.problem("/secret", str(error))) from None
    return secret


def _check_form(form: SecretForm, secret: str) -> None:
    if form is SecretForm.NONE:
        raise ValueError("is of no use: the scheme proves nothing")
    if not MIN_SECRET_LENGTH <= len(secret) <= MAX_SECRET_LENGTH:
        raise ValueError(f"must have {MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} characters")
    key_of(form, secret.encode())


def _check_secret_ref(tenant_id: str, secret_ref: str, form: SecretForm) -> None:
    # A credential or a URL must not be handed to another provider as the secret of its hooks.
    taken = (
        IntegrationConnection.objects.filter(tenant_id=tenant_id, auth_ref=secret_ref).exists()
        or WebhookRegistration.objects.filter(tenant_id=tenant_id, url_ref=secret_ref).exists()
    )
    if taken or len(secret_ref) > 300 or secret_ref.startswith(validation.RESERVED_REFERENCES):
        raise validation.invalid(validation.problem("/secret_ref", "is not a reference a registration can use"))
    try:
        value = secret_store().get(tenant_id, secret_ref)
    except SecretUnavailable as error:
        raise validation.invalid(validation.problem("/secret_ref", str(error))) from None
    try:
        _check_form(form, value)
    except ValueError as error:
        raise validation.invalid(validation.problem("/secret_ref", f"leads to a secret that {error}")) from None
