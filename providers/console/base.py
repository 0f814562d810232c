"""Base classes of the staff pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet, UUIDField
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from unfold.paginator import InfinitePaginator

from providers.errors import ProviderError

if TYPE_CHECKING:
    # The look is Unfold's; what is typed is the Django class below it.
    StyledAdmin = admin.ModelAdmin[Any]
    StyledTabularInline = admin.TabularInline[Any, Any]
    StyledFormSet = BaseInlineFormSet[Any, Any, Any]
else:
    from unfold.admin import ModelAdmin as StyledAdmin
    from unfold.admin import TabularInline as StyledTabularInline
    from unfold.forms import PaginationInlineFormSet as StyledFormSet


def actor_of(request: HttpRequest) -> str:
    """Who is acting, as it is written into the histories."""
    return f"staff:{request.user.get_username()}"


class ConsoleAdmin(StyledAdmin):
    """Lists that cost the same with a hundred rows and a million, and a permission to act.

    Pages are not counted, columns do not sort, relations come with the rows, and search looks for whole
    values (or their beginnings) instead of parts of words.
    """

    ordering = ("-pk",)
    sortable_by = ()
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = InfinitePaginator
    list_filter_submit = True
    list_disable_select_all = True
    list_fullwidth = True
    refusals: ClassVar[tuple[type[Exception], ...]] = (ProviderError,)

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: Any,
        per_page: int,
        orphans: int = 0,
        allow_empty_first_page: bool = True,
    ) -> Paginator[Any]:
        """Lists are not counted; what a page shows of another table, such as a row's history, is."""
        kind = self.paginator if queryset.model is self.model else Paginator
        return kind(queryset, per_page, orphans, allow_empty_first_page)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows one of whose columns holds the term: ``=name`` is the column's value, ``^name`` begins with the term."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if isinstance(self.opts.pk, UUIDField):
            key = _value_of(self.model, self.opts.pk.name, term)
            if key is not None and queryset.filter(pk=key).exists():
                return queryset.filter(pk=key), False
        wanted = Q(pk__in=())
        for mark, name in ((field[0], field[1:]) for field in self.get_search_fields(request)):
            value = _value_of(self.model, name, term) if mark == "=" else term
            if value is not None:
                wanted |= Q(**{name if mark == "=" else f"{name}__istartswith": value})
        return queryset.filter(wanted), False

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether this person may use the verbs: those who may change the model, even where no page edits it."""
        return self._holds(request, "change")

    def has_retire_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether this person may use the verbs that remove something."""
        return self._holds(request, "delete")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only the verbs that make sense for this row."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        found = self.get_object(request, str(object_id))
        return [a for a in offered if found is not None and getattr(a.method, "available", bool)(found)]

    def _holds(self, request: HttpRequest, action: str) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename(action, self.opts)}")


class EvidenceAdmin(ConsoleAdmin):
    """Rows staff can look at but never make, change or remove."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class EvidenceFormSet(StyledFormSet):
    """Takes nothing from a request: a form that was sent must not fail, or change a row, by what is shown below it."""

    def __init__(self, data: Any = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def is_valid(self) -> bool:
        return True

    def save(self, commit: bool = True) -> list[Any]:
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        return []


class EvidenceInline(StyledTabularInline):
    """Rows shown below the row they belong to; nothing can be changed there."""

    formset = EvidenceFormSet
    extra = 0
    max_num = 0
    can_delete = False
    hide_title = True
    tab = True
    per_page = 20
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _value_of(model: type[Model], name: str, term: str) -> Any:
    """The term as the column would hold it, or ``None`` where no row can hold it."""
    field: Any = get_fields_from_path(model, name)[-1]
    while field.is_relation:
        field = field.target_field
    try:
        value = field.to_python(term)
        field.run_validators(value)
    except ValidationError:
        return None
    return value
