"""Beat's table in the console: the same permissions and the same log as everywhere else."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat.admin import PeriodicTaskForm
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from kombu.exceptions import OperationalError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from integration_adapters.celery import app
from providers.console.base import ConsoleAdmin
from providers.console.display import age, column, label
from providers.console.verbs import verb

for _model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(_model)


class RegisteredTasks(UnfoldAdminSelectWidget):  # type: ignore[misc]
    """The tasks the code has; beat can start no others."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        app.loader.import_default_modules()
        names = sorted(name for name in app.tasks if not name.startswith("celery."))
        super().__init__(attrs, choices=[(name, name) for name in names])


class TaskForm(PeriodicTaskForm):  # type: ignore[misc]
    """The package's form without its second, free field for the task."""

    regtask = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "task" in self.fields:
            self.fields["task"].widget = RegisteredTasks()
            self.fields["task"].label = "Task"


@admin.register(PeriodicTask)
class TaskAdmin(ConsoleAdmin):
    form = TaskForm
    ordering = ("name",)
    list_display = ("name", "state", "timing", "task", "last_run", "total_run_count")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    search_fields = ("^name", "=task")
    search_help_text = "The beginning of the name, or the task, whole."
    refusals = (*ConsoleAdmin.refusals, OperationalError)
    actions = ("run_now", "enable", "disable")
    actions_row = ("run_now", "enable", "disable")
    actions_detail = ("run_now", "enable", "disable")
    readonly_fields = ("last_run", "total_run_count", "date_changed")
    fieldsets = (
        (None, {"fields": ("name", "task", "enabled", "description")}),
        ("Schedule, exactly one", {"fields": (("interval", "crontab"), ("one_off", "expire_seconds"))}),
        ("Arguments, JSON", {"fields": (("args", "kwargs"),)}),
        ("Runs", {"fields": (("last_run", "total_run_count", "date_changed"),)}),
    )

    @verb(
        "Run now",
        icon="play_arrow",
        question="A worker runs the task once, at once, whether it is enabled or not.",
    )
    def run_now(self, request: HttpRequest, task: PeriodicTask) -> str:
        app.send_task(task.task, json.loads(task.args), json.loads(task.kwargs), queue=task.queue, retry=False)
        return f"{task.name} is handed to a worker."

    @verb("Enable", icon="toggle_on", available=lambda task: not task.enabled)
    def enable(self, request: HttpRequest, task: PeriodicTask) -> str:
        return self._switch(task, on=True)

    @verb(
        "Disable",
        icon="toggle_off",
        question="Beat stops starting it. What it does, such as delivery or polling, stops until it is enabled again.",
        available=lambda task: task.enabled,
    )
    def disable(self, request: HttpRequest, task: PeriodicTask) -> str:
        return self._switch(task, on=False)

    def _switch(self, task: PeriodicTask, *, on: bool) -> str:
        task.enabled = on
        # Saved one by one, because only this tells beat to read its table again.
        task.save()
        return f"{task.name} is {'enabled' if on else 'disabled'}."

    @column("state")
    def state(self, task: PeriodicTask) -> SafeString:
        return label("enabled", "success") if task.enabled else label("disabled", "warning")

    @column("runs")
    def timing(self, task: PeriodicTask) -> str:
        return str(task.interval or task.crontab or task.solar or task.clocked)

    @column("last run")
    def last_run(self, task: PeriodicTask) -> str | SafeString:
        return age(task.last_run_at)


@admin.register(IntervalSchedule)
class IntervalAdmin(ConsoleAdmin):
    list_display = ("__str__", "every", "period")
    fields = ("every", "period")


@admin.register(CrontabSchedule)
class CrontabAdmin(ConsoleAdmin):
    list_display = ("__str__", "human_readable")
    fields = ("human_readable", "minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone")
    readonly_fields = ("human_readable",)
    formfield_overrides = {}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in ("minute", "hour", "day_of_month", "month_of_year", "day_of_week"):
            kwargs["widget"] = UnfoldAdminTextInputWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)
