"""The Celery application. Beat's table lives in the database, where staff see and edit it."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import import_modules

from integration_adapters.checks import refuse_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_adapters.settings")

app = Celery("integration_adapters")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Sent while a worker or beat starts, before it takes or sends anything.
import_modules.connect(refuse_errors)
