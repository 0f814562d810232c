from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class ProvidersConfig(AppConfig):
    name = "providers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from providers import checks as checks
        from providers.catalogue import sync_providers

        def sync(**kwargs: object) -> None:
            # Migrating backwards removes the table; there is nothing to sync then.
            if apps.get_model("providers", "IntegrationProvider")._meta.db_table in _tables(str(kwargs["using"])):
                sync_providers(using=str(kwargs["using"]))

        post_migrate.connect(sync, sender=self, weak=False, dispatch_uid="providers.sync")


def _tables(using: str) -> list[str]:
    from django.db import connections

    with connections[using].cursor() as cursor:
        return connections[using].introspection.table_names(cursor)
