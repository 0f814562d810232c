import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0002_shared_doors_and_evidence'),
    ]

    operations = [
        migrations.AlterField(
            model_name='webhookregistration',
            name='provider',
            field=models.ForeignKey(help_text='Tool that posts here.', on_delete=django.db.models.deletion.PROTECT, related_name='+', to='providers.integrationprovider'),
        ),
    ]
