"""Credentials nobody refers to any more."""

from __future__ import annotations

from connections import tokens
from connections.models import IntegrationConnection


def forget(tenant_id: str, reference: str) -> None:
    """Delete a credential no connection of the tenant uses, and the access tokens made from it.

    What has a well-known name is its operator's and stays. Whoever replaces a credential has taken the reference out of
    the row before; whoever failed to use one finds out here that it is used all the same.
    """
    if not reference:
        return
    used = IntegrationConnection.objects.present().filter(tenant_id=tenant_id, auth_ref=reference)
    if not used.exists():
        tokens.forget(tenant_id, reference)
