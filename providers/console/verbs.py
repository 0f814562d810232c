"""Verbs: what staff can do to a row. Written once, offered on the row, on its page and for a selection.

Nothing happens on a GET: it shows what will be done and asks. The POST does it, says so, and leaves an
entry in the log. A verb is shown to, and obeyed from, those who have its permission only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.enums import ActionVariant

CONFIRMED = "confirmed"

Perform = Callable[..., "str | HttpResponse"]


def always(_: Any) -> bool:
    return True


def verb(
    label: str,
    *,
    icon: str,
    question: str = "",
    permission: str = "act",
    available: Callable[[Any], bool] = always,
    danger: bool = False,
    at_most: int = 100,
    form: type[Form] | None = None,
    describe: Callable[[Form, Any], None] | None = None,
) -> Callable[[Perform], Any]:
    """Make a method ``(self, request, obj) -> message`` a verb.

    ``question``: what will happen; a verb with one is confirmed also for a selection.
    ``available``: whether it makes sense for this row; others are left out of a selection.
    ``at_most``: rows a selection may have, because the verb runs inside the request.
    ``form``: fields asked on the confirmation page, handed to the method by name.
    ``describe``: puts into such a form what is particular to the row.
    A method that returns a response has it shown instead of a message.
    """

    def decorate(perform: Perform) -> Any:
        @wraps(perform)
        def run(self: Any, request: HttpRequest, selected: Any = None, *, object_id: str = "") -> HttpResponse | None:
            if not getattr(self, f"has_{permission}_permission")(request):
                raise PermissionDenied
            if isinstance(selected, QuerySet):
                return _run_selected(self, request, run, selected)
            return _run_one(self, request, run, unquote(object_id))

        marks = {
            "perform": perform,
            "label": label,
            "question": question,
            "available": available,
            "danger": danger,
            "at_most": at_most,
            "form": form,
            "describe": describe,
            # What Django and Unfold ask of an action:
            "short_description": label,
            "allowed_permissions": (permission,),
            "attrs": {},
            "icon": icon,
            "dialog": None,
            "url_path": perform.__name__.replace("_", "-"),
            "variant": ActionVariant.DANGER if danger else ActionVariant.DEFAULT,
        }
        for name, value in marks.items():
            setattr(run, name, value)
        return run

    return decorate


def _run_one(self: Any, request: HttpRequest, run: Any, object_id: str) -> HttpResponse:
    found = self.get_object(request, object_id)
    if found is None:
        raise Http404
    key, names = found.pk, f"{found._meta.app_label}_{found._meta.model_name}"
    page = reverse(f"admin:{names}_change", args=[key])
    form = run.form(request.POST or None) if run.form else None
    if form is not None and run.describe is not None:
        run.describe(form, found)
    if request.method != "POST" or (form is not None and not form.is_valid()):
        return _ask(self, request, run, [found], back=page, form=form)
    outcome = _perform(self, request, run, [found], **(form.cleaned_data if form is not None else {}))
    if isinstance(outcome, HttpResponse):
        return outcome
    if outcome and form is not None:
        # What was entered is at fault, so it is asked again.
        return _ask(self, request, run, [found], back=page, form=form)
    if not self.get_queryset(request).filter(pk=key).exists():
        page = reverse(f"admin:{names}_changelist")
    return HttpResponseRedirect(page)


def _run_selected(self: Any, request: HttpRequest, run: Any, selected: QuerySet[Any]) -> HttpResponse | None:
    found = list(selected[: run.at_most + 1])
    if len(found) > run.at_most:
        self.message_user(request, f"Select at most {run.at_most} rows for this.", messages.WARNING)
        return None
    if run.question and CONFIRMED not in request.POST:
        return _ask(self, request, run, found, back=request.get_full_path(), selection=True)
    outcome = _perform(self, request, run, found)
    return outcome if isinstance(outcome, HttpResponse) else None


def _perform(self: Any, request: HttpRequest, run: Any, found: Sequence[Any], **values: Any) -> HttpResponse | bool:
    """Do it and say what came of it. The method's response, or whether what was entered could not be accepted."""
    done: list[str] = []
    faulty = False
    for obj in found:
        if not run.available(obj):
            self.message_user(request, f"{obj}: nothing to do, as it is now.", messages.WARNING)
            continue
        try:
            outcome = run.perform(self, request, obj, **values)
        except self.refusals as error:
            problems = _problems(error)
            faulty = faulty or bool(problems)
            self.message_user(request, f"{obj}: {problems or error}", messages.ERROR)
            continue
        self.log_change(request, obj, f"{run.label}.")
        if isinstance(outcome, HttpResponse):
            return outcome
        done.append(outcome)
    if len(done) == 1:
        self.message_user(request, done[0], messages.SUCCESS)
    elif done:
        self.message_user(request, f"{run.label}: done for {len(done)}.", messages.SUCCESS)
    return faulty


def _problems(error: Exception) -> str:
    """What is wrong with the values that were entered, field by field; empty where that is not the trouble."""
    problems = getattr(error, "details", {}).get("problems", ())
    return " ".join(f"{problem['pointer'].lstrip('/')} {problem['reason']}." for problem in problems)


def _ask(
    self: Any,
    request: HttpRequest,
    run: Any,
    found: Sequence[Any],
    *,
    back: str,
    form: Form | None = None,
    selection: bool = False,
) -> TemplateResponse:
    context = {
        **self.admin_site.each_context(request),
        "opts": self.model._meta,
        "title": f"{run.label}?",
        "action": run.__name__,
        "label": run.label,
        "question": run.question,
        "danger": run.danger,
        "found": found,
        "form": form,
        "back": back,
        "selection": selection,
        "confirmed": CONFIRMED,
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    request.current_app = self.admin_site.name
    return TemplateResponse(request, "admin/console/confirm.html", context)


def shortcut(
    label: str, *, icon: str, permission: str, available: Callable[[Any], bool] = always
) -> Callable[[Callable[[Any, str], str]], Any]:
    """Make a method ``(self, object_id) -> address`` a button that leads to another page.

    Above a list there is no object, and the id is empty.

    ``permission``: asked of the page's ``has_<permission>_permission``.
    """

    def decorate(address: Callable[[Any, str], str]) -> Any:
        @wraps(address)
        def go(self: Any, request: HttpRequest, *, object_id: str = "") -> HttpResponse:
            if not getattr(self, f"has_{permission}_permission")(request):
                raise PermissionDenied
            return HttpResponseRedirect(address(self, unquote(object_id)))

        marks = {
            "available": available,
            "short_description": label,
            "allowed_permissions": (permission,),
            "attrs": {},
            "icon": icon,
            "dialog": None,
            "url_path": address.__name__.replace("_", "-"),
            "variant": ActionVariant.DEFAULT,
        }
        for name, value in marks.items():
            setattr(go, name, value)
        return go

    return decorate
