"""Calls to the neighbouring services: as which tenant, with which token."""

from __future__ import annotations

import threading

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from connections.secret_store import SecretUnavailable, secret_store
from providers.answers import PlainSession

_local = threading.local()


def platform_session() -> requests.Session:
    """One pooled session a thread. Only unopened connections are retried; the rest is for due rows."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = PlainSession()
        session.trust_env = False
        adapter = HTTPAdapter(max_retries=Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0))
        session.mount("http://", adapter)
        session.mount("https://", adapter)
    return session


def platform_headers(tenant_id: str, service: str) -> dict[str, str]:
    """Headers of every call to a neighbour on behalf of one tenant.

    The token is the secret named ``platform/<service>`` of that tenant, else ``PLATFORM_TOKEN``; with
    neither, the call goes out without one and the neighbour says 401.
    """
    try:
        token = secret_store().get(tenant_id, f"platform/{service}")
    except SecretUnavailable:
        token = settings.PLATFORM_TOKEN
    headers = {"X-Tenant-ID": tenant_id}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return headers
