"""Who may do what, and who did: users, roles, sign-ins and the log of staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from providers.console.base import EvidenceAdmin
from providers.console.display import age, column, label, moment, note_line

if TYPE_CHECKING:
    StyledAdmin = admin.ModelAdmin[Any]
    DjangoUserAdmin = UserAdmin[User]
else:
    DjangoUserAdmin = UserAdmin
    from unfold.admin import ModelAdmin as StyledAdmin

_KIND_COLOURS: dict[int, str] = {ADDITION: "success", CHANGE: "info", DELETION: "danger"}

for _model in (User, Group, AccessAttempt, AccessFailureLog, AccessLog):
    admin.site.unregister(_model)


@admin.register(User)
class StaffAdmin(DjangoUserAdmin, StyledAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "is_staff", "is_superuser", "is_active", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")


@admin.register(Group)
class RoleAdmin(GroupAdmin, StyledAdmin):
    pass


@admin.register(LogEntry)
class LogAdmin(EvidenceAdmin):
    """Django's own log: which person did what to which row."""

    list_display = ("what", "kind", "who", "message", "when")
    list_display_links = None
    list_select_related = ("user", "content_type")
    search_fields = ("=object_id", "=user__username")
    search_help_text = "Id of the row, or user name, whole."

    @column("row")
    def what(self, entry: LogEntry) -> str | SafeString:
        try:
            address = entry.get_admin_url()
        except (LookupError, ValueError):
            address = None
        label = f"{entry.content_type.name if entry.content_type else ''}: {entry.object_repr}"
        return format_html('<a class="console-link" href="{}">{}</a>', address, label) if address else label

    @column("kind")
    def kind(self, entry: LogEntry) -> SafeString:
        return label(entry.get_action_flag_display(), _KIND_COLOURS[entry.action_flag])

    @column("who")
    def who(self, entry: LogEntry) -> str:
        return entry.user.get_username()

    @column("what was done")
    def message(self, entry: LogEntry) -> str:
        return entry.get_change_message()

    @column("when")
    def when(self, entry: LogEntry) -> str | SafeString:
        return moment(entry.action_time)


@admin.register(AccessAttempt)
class AttemptAdmin(EvidenceAdmin):
    """Failed sign-ins that count towards a lock-out; removing a row lets the person try again."""

    list_display = ("username", "ip_address", "failures_since_start", "agent", "when")
    search_fields = ("=username", "=ip_address")
    search_help_text = "User name or address, whole."
    fields = ("username", "ip_address", "failures_since_start", "user_agent", "path_info", "attempt_time")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._holds(request, "delete")

    @column("browser")
    def agent(self, attempt: AccessAttempt) -> str | SafeString:
        return note_line(attempt.user_agent)

    @column("last attempt")
    def when(self, attempt: AccessAttempt) -> str | SafeString:
        return age(attempt.attempt_time)


@admin.register(AccessLog)
class SignInAdmin(EvidenceAdmin):
    list_display = ("username", "ip_address", "when", "out")
    search_fields = ("=username", "=ip_address")
    search_help_text = "User name or address, whole."
    fields = ("username", "ip_address", "user_agent", "attempt_time", "logout_time")

    @column("signed in")
    def when(self, entry: AccessLog) -> str | SafeString:
        return moment(entry.attempt_time)

    @column("signed out")
    def out(self, entry: AccessLog) -> str | SafeString:
        return moment(entry.logout_time)
