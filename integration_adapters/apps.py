from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class IntegrationAdaptersConfig(AppConfig):
    name = "integration_adapters"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from integration_adapters import checks as checks

        # Only apps with models are told of a migration, this one has none; actions comes last, all tables are there.
        last = apps.get_app_config("actions")
        post_migrate.connect(_seed, sender=last, weak=False, dispatch_uid="integration_adapters.seed")


def _seed(**kwargs: object) -> None:
    """Rows every deployment starts with; made once, then staff's."""
    from django.db import connections

    from integration_adapters.roles import seed_roles
    from integration_adapters.schedule import seed_schedule

    database = connections[str(kwargs["using"])]
    tables = database.introspection.table_names()
    if "django_celery_beat_periodictask" in tables:
        seed_schedule()
    if "auth_group" in tables:
        seed_roles(database.alias)
