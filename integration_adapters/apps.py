from django.apps import AppConfig
from django.db.models.signals import post_migrate


class IntegrationAdaptersConfig(AppConfig):
    name = "integration_adapters"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_seed, sender=self, weak=False, dispatch_uid="integration_adapters.seed")


def _seed(**kwargs: object) -> None:
    """Rows every deployment starts with; made once, then staff's."""
    from django.db import connections

    from integration_adapters.schedule import seed_schedule

    database = connections[str(kwargs["using"])]
    if "django_celery_beat_periodictask" in database.introspection.table_names():
        seed_schedule()
