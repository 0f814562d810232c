from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('polling', '0002_backfill_windows'),
    ]

    operations = [
        migrations.AddField(
            model_name='pollingcursor',
            name='newest_event_at',
            field=models.DateTimeField(blank=True, help_text="Provider's time of the newest event that was told.", null=True),
        ),
        migrations.AddField(
            model_name='pollingcursor',
            name='seen_after_seconds',
            field=models.FloatField(blank=True, help_text='How long after it happened the newest event was stored.', null=True),
        ),
    ]
