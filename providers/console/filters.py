"""Filters that stay cheap on a million rows.

Primary keys are version 7 UUIDs, so they carry the time the row was made: a span of time is a range of
keys, answered by the primary key's index, whatever other columns the table has.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from django.contrib import messages
from django.db.models import QuerySet, TextChoices
from django.http import HttpRequest
from django.utils import timezone
from unfold.utils import parse_datetime_str

from providers.models import IntegrationProvider

if TYPE_CHECKING:
    # The look is Unfold's; what is typed is the Django class below it.
    from django.contrib.admin import FieldListFilter as RangeFilter
    from django.contrib.admin import SimpleListFilter

    DropdownFilter: TypeAlias = SimpleListFilter
    TextFilter: TypeAlias = SimpleListFilter
else:
    from unfold.contrib.filters.admin import DropdownFilter, TextFilter
    from unfold.contrib.filters.admin import RangeDateTimeFilter as RangeFilter

Lookups = list[tuple[str, str]]


_LAST_MILLISECOND = 2**48 - 1


def first_key_at(moment: datetime, *, shift: timedelta = timedelta()) -> uuid.UUID:
    """The smallest key a row made ``shift`` after ``moment`` can have (RFC 9562 §5.7: 48 bits of Unix milliseconds).

    Any moment will do: what lies beyond the first or last key is that key.
    """
    milliseconds = int((moment.timestamp() + shift.total_seconds()) * 1000)
    return uuid.UUID(int=min(max(0, milliseconds), _LAST_MILLISECOND) << 80)


class ExactTextFilter(TextFilter):
    """A box for one value of one indexed column. Subclass with ``column``, ``parameter_name``, ``title``."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        return queryset.filter(**{self.column: value}) if value else queryset


class TenantFilter(ExactTextFilter):
    title = "tenant"
    parameter_name = "tenant"
    column = "tenant_id"


class ConnectionFilter(ExactTextFilter):
    title = "connection id"
    parameter_name = "connection"
    column = "connection_id"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        try:
            return queryset.filter(connection_id=uuid.UUID(value)) if value else queryset
        except ValueError:
            return queryset.none()


class ChoiceFilter(DropdownFilter):
    """One value of a closed set. Subclass with ``column``, ``options``, ``parameter_name``, ``title``."""

    column: ClassVar[str]
    options: ClassVar[type[TextChoices]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [(value, str(label)) for value, label in self.options.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class ProviderFilter(DropdownFilter):
    """Providers come from their own small table, never from the distinct values of a large one."""

    title = "provider"
    parameter_name = "provider"
    column: ClassVar[str] = "provider_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return list(IntegrationProvider.objects.order_by("name").values_list("provider_id", "name"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class ConnectionProviderFilter(ProviderFilter):
    """For rows that know their provider only through their connection."""

    column = "connection__provider_id"


class MadeWithinFilter(DropdownFilter):
    """Rows made in the last minutes, hours or days."""

    title = "age"
    parameter_name = "within"
    spans: ClassVar[Sequence[tuple[str, str, timedelta]]] = (
        ("15min", "Last 15 minutes", timedelta(minutes=15)),
        ("1h", "Last hour", timedelta(hours=1)),
        ("24h", "Last 24 hours", timedelta(hours=24)),
        ("7d", "Last 7 days", timedelta(days=7)),
        ("30d", "Last 30 days", timedelta(days=30)),
    )

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [(value, label) for value, label, _ in self.spans]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for value, _, length in self.spans:
            if value == self.value():
                return queryset.filter(pk__gte=first_key_at(timezone.now() - length))
        return queryset


class MadeBetweenFilter(RangeFilter):
    """Rows made between two moments (UTC). Used on the column that says when a row was made."""

    used_parameters: dict[str, Any]
    parameter_name: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            since, until = self._moment("from"), self._moment("to")
        except ValueError as error:
            words = f"{error} is no date and time such as 2026-11-23 14:30, so nothing is shown."
            messages.warning(request, words)
            return queryset.none()
        if since:
            queryset = queryset.filter(pk__gte=first_key_at(since))
        if until:
            queryset = queryset.filter(pk__lt=first_key_at(until, shift=timedelta(seconds=1)))
        return queryset

    def _moment(self, end: str) -> datetime | None:
        """One end of the span; a date alone is its midnight. Raises ``ValueError`` with what is none."""
        day = self.used_parameters.get(f"{self.parameter_name}_{end}_0")
        clock = self.used_parameters.get(f"{self.parameter_name}_{end}_1") or "00:00:00"
        if not day:
            return None
        moment: datetime | None = parse_datetime_str(f"{day} {clock}")
        if moment is None:
            raise ValueError(f"{day} {clock}"[:60])
        return moment.replace(tzinfo=UTC)
