"""Probes, metrics and the API's own description, open to whoever can reach them: no tenant's objects are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connections.parsing import AlwaysJson
from integration_adapters import openapi as openapi  # its extensions count once they are imported
from integration_adapters.metrics import exposition

log = structlog.get_logger(__name__)

PROBE_SECONDS = 1.0
ALIVE = ["ok"]
READINESS = ["ok", "unavailable"]
# A probe that hangs keeps its thread; the bound keeps a dead database from eating the process.
_probes = ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe")


class Liveness(serializers.Serializer[Any]):
    """The process answers."""

    status = serializers.ChoiceField(choices=ALIVE)


class Readiness(serializers.Serializer[Any]):
    """Whether work can be done, and what stands in the way."""

    status = serializers.ChoiceField(choices=READINESS)
    database = serializers.BooleanField()
    broker = serializers.BooleanField()


class _Probe(APIView):
    authentication_classes = ()
    permission_classes = ()


@extend_schema(tags=["Operation"])
class Health(_Probe):
    @extend_schema(summary="Is the process alive", operation_id="health", responses={200: Liveness})
    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


@extend_schema(tags=["Operation"])
class Ready(_Probe):
    @extend_schema(
        summary="Can the process do its work",
        description="Database and broker must each answer within a second.",
        operation_id="ready",
        responses={200: Readiness, 503: Readiness},
    )
    def get(self, request: Request) -> Response:
        waiting = {"database": _probes.submit(_ask_database), "broker": _probes.submit(_ask_broker)}
        state = {name: _succeeds(name, probe.result) for name, probe in waiting.items()}
        ready = all(state.values())
        return Response({"status": "ok" if ready else "unavailable", **state}, status=200 if ready else 503)


@extend_schema(tags=["Operation"])
class Metrics(_Probe):
    @extend_schema(
        summary="Metrics in Prometheus text format", operation_id="metrics", responses={(200, "text/plain"): str}
    )
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


class _YamlOrJson(AlwaysJson):
    """YAML, unless ``Accept`` or ``?format=json`` asks for JSON."""

    def select_renderer(  # type: ignore[override]
        self, request: Request, renderers: Sequence[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        wanted = request.query_params.get("format") or request.headers.get("Accept", "")
        chosen = next((r for r in renderers if "json" in wanted and r.format == "json"), renderers[0])
        return chosen, str(chosen.media_type)


class Schema(SpectacularAPIView):
    """The API's description, made once a process: making it costs a second."""

    content_negotiation_class = _YamlOrJson

    def _get_schema_response(self, request: Request) -> Response:
        return Response(_schema())


@cache
def _schema() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


def _succeeds(name: str, result: Callable[..., object]) -> bool:
    try:
        result(timeout=PROBE_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever it is, the part is not available
        log.warning("ready.unavailable", part=name, error=type(error).__name__)
        return False
    return True


def _ask_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        # Connections belong to threads; one left open here would be nobody's.
        connection.close()


def _ask_broker() -> None:
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=PROBE_SECONDS, socket_timeout=PROBE_SECONDS
    )
    try:
        client.ping()
    finally:
        client.close()
