from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0002_waivers_and_routes'),
        # It has taken the counts over.
        ('events', '0003_intake_ledger'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='integrationconnection',
            name='duplicates_received',
        ),
    ]
