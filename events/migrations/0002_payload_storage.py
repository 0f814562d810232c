from django.db import migrations

# The payload is compressed before it is inserted; PostgreSQL compressing it again costs nearly half its CPU.
COLUMNS = ("payload", "envelope")


def _set(storage):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            for column in COLUMNS:
                schema_editor.execute(f"ALTER TABLE adapter_events ALTER COLUMN {column} SET STORAGE {storage}")

    return run


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]
    operations = [migrations.RunPython(_set("EXTERNAL"), _set("EXTENDED"))]
