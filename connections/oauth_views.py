"""Authorising a connection in the browser: /v1/integrations/oauth."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog
from django.contrib import messages
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connections import oauth
from connections.api import actor_of, find_connection, may_manage, principal_of
from connections.errors import ServiceError
from connections.fields import StrictSerializer, Text
from connections.models import IntegrationConnection
from connections.oauth_clients import redirect_uri, split_scopes
from connections.oauth_return import Answer, Finished, finish
from connections.parsing import storable_object
from connections.validation import MAX_SETTINGS_BYTES, invalid, problem

log = structlog.get_logger(__name__)

_PAGE_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_ANSWER = ("state", "code", "error", "iss")


class MayAuthorise(BasePermission):
    """Starting an authorisation changes things, though it is a GET."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user is not None and may_manage(request)


class AuthoriseQuery(StrictSerializer):
    """Give either ``display_name``, for a new connection, or ``connection_id``, to authorise one again."""

    display_name = Text(max_length=200, required=False, help_text="Name of the connection to be made.")
    connection_id = serializers.UUIDField(required=False, help_text="Connection to authorise again.")
    settings = Text(
        max_length=MAX_SETTINGS_BYTES,
        required=False,
        help_text="Settings of the connection to be made, as the text of a JSON object; base_url leads to a "
        "self-managed server.",
    )
    scopes = Text(
        max_length=4000,
        required=False,
        help_text="Scopes to ask for, separated by spaces or commas. Default: the app's, else the adapter's.",
    )
    site = Text(
        max_length=300,
        required=False,
        help_text="Name, id or address of the site that is wanted, where an account reaches several.",
    )
    return_url = Text(
        max_length=oauth.MAX_RETURN_URL,
        required=False,
        help_text="Where the browser goes in the end, with outcome, connection_id, status and error as parameters. "
        "Its origin must be this service's own or one the operator lists.",
    )


class Authorisation(serializers.Serializer[Any]):
    """Where to send the person's browser, within ten minutes."""

    authorize_url = serializers.URLField()
    redirect_uri = serializers.URLField(help_text="Where the provider sends the browser back to.")
    scopes = serializers.ListField(child=serializers.CharField(), help_text="Scopes that are asked for.")


class AuthorisationResult(serializers.Serializer[Any]):
    """A connection that was authorised."""

    outcome = serializers.CharField(help_text="connected")
    connection_id = serializers.UUIDField()
    status = serializers.CharField(help_text="Status of the connection: active where it could be verified.")
    missing_scopes = serializers.ListField(child=serializers.CharField(), help_text="Asked for, but not granted.")
    message = serializers.CharField()


class OAuthAuthorize(APIView):
    permission_classes = (MayAuthorise,)
    http_method_names = ("get", "options")

    @extend_schema(
        tags=["OAuth"],
        summary="Start the OAuth authorisation",
        description="Redirects to the provider's page, where a person grants access. A browser cannot send a bearer "
        "token along with a link: with `Accept: application/json` the address is answered instead (200), and the "
        "person's browser is sent there. It is good for ten minutes and one use.",
        operation_id="oauth_authorize",
        parameters=[AuthoriseQuery],
        responses={
            200: Authorisation,
            302: OpenApiResponse(description="To the provider's page."),
            409: OpenApiResponse(description="Not offered, or no app is registered at the provider."),
        },
    )
    def get(self, request: Request, provider_id: str) -> HttpResponse:
        query = AuthoriseQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        begun = oauth.begin(
            tenant_id=principal_of(request).tenant_id,
            provider_id=provider_id,
            actor=actor_of(request),
            **_order(request, provider_id, query.validated_data),
        )
        if "application/json" in request.headers.get("Accept", ""):
            told = {
                "authorize_url": begun.authorize_url,
                "redirect_uri": redirect_uri(),
                "scopes": begun.authorisation.scopes,
            }
            response: HttpResponse = Response(told)
        else:
            response = HttpResponseRedirect(begun.authorize_url)
        response["Cache-Control"] = "no-store"
        return response


class OAuthCallback(APIView):
    # The provider sends a person's browser here, which has no bearer token.
    authentication_classes = ()
    permission_classes = ()
    http_method_names = ("get", "options")

    @extend_schema(
        tags=["OAuth"],
        summary="Finish the OAuth authorisation",
        description="Where the provider sends the browser back to. The state proves that it was started here; it "
        "counts once. Redirects to the return_url, with outcome (connected or failed), connection_id, status, error "
        "and error_description as parameters; without one, what came of it is told here, as a page to a browser and "
        "as JSON to others.",
        operation_id="oauth_callback",
        parameters=[
            OpenApiParameter("state", str, description="As it was sent to the provider's page."),
            OpenApiParameter("code", str, description="What the provider grants access for."),
            OpenApiParameter("error", str, description="Why it grants none."),
            OpenApiParameter("iss", str, description="What the provider's server calls itself (RFC 9207)."),
        ],
        responses={
            (200, "application/json"): AuthorisationResult,
            (200, "text/html"): str,
            302: OpenApiResponse(description="To the return_url."),
            **{(code, "text/html"): str for code in (400, 403, 404, 409, 422, 502, 503)},
        },
    )
    def get(self, request: Request) -> HttpResponse:
        http: HttpRequest = request._request
        try:
            finished = finish(_answer(request), browser=staff_session(http))
        except ServiceError as error:
            log.warning("oauth.refused", code=error.code)
            return _refused(http, error)
        return _response(http, finished)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """The address of these answers holds a code: nobody keeps it or is told of it."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        final["Referrer-Policy"] = "no-referrer"
        final["Content-Security-Policy"] = _PAGE_POLICY
        return final


def staff_session(request: HttpRequest) -> str:
    """Key of the session of a signed-in person; empty for everybody else."""
    # REST framework has put its own user in the request's place.
    return (request.session.session_key or "") if get_user(request).is_authenticated else ""


def _order(request: Request, provider_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is to be authorised, from the query."""
    connection: IntegrationConnection | None = None
    named, renewed = given.get("display_name"), given.get("connection_id")
    if (named is None) == (renewed is None):
        raise invalid(problem("/display_name", "give either display_name or connection_id"))
    if isinstance(renewed, uuid.UUID):
        connection = find_connection(request, renewed)
        if connection.provider_id != provider_id:
            raise invalid(problem("/connection_id", "is a connection to another provider"))
    return {
        "display_name": named or "",
        "connection": connection,
        "settings": _settings(given.get("settings")),
        "scopes": split_scopes(given.get("scopes", "")),
        "site": given.get("site", ""),
        "return_url": given.get("return_url", ""),
    }


def _settings(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return storable_object(text.encode())
    except ValueError as error:
        raise invalid(problem("/settings", str(error))) from None


def _answer(request: Request) -> Answer:
    """The parameters, each at most once (RFC 6749, section 3.1)."""
    given = {name: request.query_params.getlist(name) for name in _ANSWER}
    if any(len(values) > 1 for values in given.values()):
        raise ServiceError("OAUTH_STATE_UNKNOWN", "The answer names something twice. Start the authorisation again.")
    state, code, error, issuer = ("".join(given[name]) for name in _ANSWER)
    return Answer(state=state, code=code, error=error, issuer=issuer)


def _response(request: HttpRequest, finished: Finished) -> HttpResponse:
    row, connection, error = finished.authorisation, finished.connection, finished.error
    log.info(
        "oauth.finished",
        tenant_id=row.tenant_id,
        provider_id=row.provider_id,
        connection_id=str(connection.pk) if connection else None,
        code=error.code if error else "connected",
    )
    if row.browser_hash:
        (messages.error if error else messages.success)(request, finished.message)
        return HttpResponseRedirect(_staff_page(finished))
    if row.return_url:
        return HttpResponseRedirect(_with_outcome(row.return_url, finished))
    if error is not None or connection is None:
        return _refused(request, error or ServiceError("INTERNAL_ERROR", finished.message, status=500))
    if _is_browser(request):
        return _page(request, "The connection is authorised", finished.message)
    told = {
        "outcome": "connected",
        "connection_id": connection.pk,
        "status": connection.status,
        "missing_scopes": finished.missing_scopes,
        "message": finished.message,
    }
    return Response(AuthorisationResult(told).data)


def _staff_page(finished: Finished) -> str:
    connection = finished.connection or (finished.authorisation.connection if finished.authorisation.renews else None)
    if connection is None:
        return reverse("admin:connections_integrationconnection_changelist")
    return reverse("admin:connections_integrationconnection_change", args=[connection.pk])


def _with_outcome(url: str, finished: Finished) -> str:
    connection, error = finished.connection, finished.error
    if error is not None:
        told = {"outcome": "failed", "error": error.code, "error_description": error.message[:500]}
    else:
        told = {"outcome": "connected"}
    shown = connection or (finished.authorisation.connection if finished.authorisation.renews else None)
    if shown is not None:
        told |= {"connection_id": str(shown.pk), "status": shown.status}
    if finished.missing_scopes:
        told["missing_scopes"] = " ".join(finished.missing_scopes)
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(told))))
    return urlunsplit(parts._replace(query=query))


def _refused(request: HttpRequest, error: ServiceError) -> HttpResponse:
    if not _is_browser(request):
        raise error
    response = _page(request, "The connection is not authorised", error.message, status=error.status)
    if wait := error.details.get("retry_after_seconds"):
        response["Retry-After"] = str(wait)
    return response


def _page(request: HttpRequest, title: str, message: str, *, status: int = 200) -> HttpResponse:
    return render(request, "oauth/told.html", {"title": title, "message": message}, status=status)


def _is_browser(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")
