from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class PollingConfig(AppConfig):
    name = "polling"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from polling import checks as checks
        from polling.cursors import flag_new_streams

        def flag(**kwargs: object) -> None:
            # Migrating backwards removes the tables; there is nothing to look at then.
            found = connections[str(kwargs["using"])].introspection.table_names()
            if {"polling_cursors", "integration_connections"} <= set(found):
                flag_new_streams(using=str(kwargs["using"]))

        post_migrate.connect(flag, sender=self, weak=False, dispatch_uid="polling.streams")
