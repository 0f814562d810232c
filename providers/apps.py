from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class ProvidersConfig(AppConfig):
    name = "providers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from providers import checks as checks
        from providers.catalogue import sync_providers

        def sync(**kwargs: object) -> None:
            # Migrating backwards removes the table; there is nothing to sync then.
            if "integration_providers" in connections[str(kwargs["using"])].introspection.table_names():
                sync_providers(using=str(kwargs["using"]))

        post_migrate.connect(sync, sender=self, weak=False, dispatch_uid="providers.sync")
