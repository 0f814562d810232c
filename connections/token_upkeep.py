"""Renewing access tokens ahead of their end, whether or not anybody calls: some refresh tokens die when unused."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

import structlog
from django.db.models import Exists, F, OuterRef, Q, Window
from django.db.models.functions import Now, RowNumber

from connections.models import AccessToken, ConnectionStatus, IntegrationConnection
from connections.runtime import calling
from connections.secret_port import SecretsUnreachable
from connections.turns import within
from providers import registry
from providers.errors import ProviderError

log = structlog.get_logger(__name__)

TOKENS_A_RUN: Final = 200
RENEWAL_SECONDS: Final = 30.0
# Connections that rest are renewed only so often: no vendor's refresh token dies of less.
KEPT_ALIVE_EVERY: Final = timedelta(days=7)


def due_tokens() -> list[uuid.UUID]:
    """Tokens to renew now, tenants in turn; only those a refresh token keeps alive, the rest are made when needed."""
    users = IntegrationConnection.objects.present().filter(
        tenant_id=OuterRef("tenant_id"), auth_ref=OuterRef("auth_ref"), provider=OuterRef("provider")
    )
    free = Q(lease_token=None) | Q(lease_until__lte=Now())
    working = Exists(users.filter(status=ConnectionStatus.ACTIVE))
    resting = Exists(users) & Q(last_refreshed_at__lte=Now() - KEPT_ALIVE_EVERY)
    due = AccessToken.objects.filter(free, working | resting, renewable=True, ended_at=None, refresh_at__lte=Now())
    turn = Window(RowNumber(), partition_by=F("tenant_id"), order_by=F("refresh_at").asc())
    chosen = due.annotate(turn=turn).order_by("turn", "refresh_at").values_list("pk", flat=True)
    return list(chosen[:TOKENS_A_RUN])


def renew(token_id: uuid.UUID) -> None:
    """Renew one token if it is still due; what fails is on its row."""
    row: AccessToken | None = AccessToken.objects.filter(pk=token_id).first()
    connection: IntegrationConnection | None = (
        IntegrationConnection.objects.present()
        .filter(tenant_id=row.tenant_id, auth_ref=row.auth_ref, provider_id=row.provider_id)
        .first()
        if row is not None
        else None
    )
    if connection is None:
        return
    try:
        with within(RENEWAL_SECONDS):
            calling(connection)
    except (ProviderError, registry.UnknownProvider, SecretsUnreachable) as error:
        log.info("token_not_kept_alive", token_id=str(token_id), error=type(error).__name__)
