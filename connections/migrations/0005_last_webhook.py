from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0004_incidents'),
    ]

    operations = [
        migrations.AddField(
            model_name='integrationconnection',
            name='last_webhook_at',
            field=models.DateTimeField(blank=True, help_text='Last verified webhook, to the minute.', null=True),
        ),
    ]
