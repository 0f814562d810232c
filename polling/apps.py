from django.apps import AppConfig
from django.db.models.signals import post_migrate


class PollingConfig(AppConfig):
    name = "polling"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from polling import checks as checks
        from polling.cursors import flag_new_streams

        def flag(**kwargs: object) -> None:
            # Migrating backwards removes the tables; there is nothing to look at then.
            if _tables(str(kwargs["using"])) >= {"polling_cursors", "integration_connections"}:
                flag_new_streams(using=str(kwargs["using"]))

        post_migrate.connect(flag, sender=self, weak=False, dispatch_uid="polling.streams")


def _tables(using: str) -> set[str]:
    from django.db import connections

    with connections[using].cursor() as cursor:
        return set(connections[using].introspection.table_names(cursor))
