"""WSGI entry point."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_adapters.settings")

django = get_wsgi_application()

from integration_adapters.checks import refuse_errors  # noqa: E402 - not before Django is set up
from integration_adapters.front import Front  # noqa: E402

refuse_errors()
application = Front(django)
# What was made so far stays; looking through it again and again would only cost time.
gc.collect()
gc.freeze()
