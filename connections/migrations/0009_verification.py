import django.db.models.deletion
import uuid6
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0008_receipts'),
    ]

    operations = [
        migrations.AddField(
            model_name='integrationconnection',
            name='consecutive_refusals',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Calls since the last success at which the credential itself was refused.'),
        ),
        migrations.AddField(
            model_name='integrationconnection',
            name='failures_total',
            field=models.PositiveBigIntegerField(db_default=0, default=0, help_text='Failed calls of all time.'),
        ),
        migrations.AddField(
            model_name='integrationconnection',
            name='credential_expires_at',
            field=models.DateTimeField(blank=True, help_text='When the credential ends, as the provider said or else a person; empty: not known, or never.', null=True),
        ),
        migrations.AddIndex(
            model_name='integrationconnection',
            index=models.Index(condition=models.Q(('credential_expires_at__isnull', False)), fields=['credential_expires_at'], name='connection_expiring'),
        ),
        migrations.CreateModel(
            name='ConnectionVerification',
            fields=[
                ('verification_id', models.UUIDField(default=uuid6.uuid7, editable=False, help_text='Time-ordered (UUID 7).', primary_key=True, serialize=False)),
                ('tenant_id', models.CharField(db_index=True, help_text='Tenant it belongs to.', max_length=100)),
                ('purpose', models.CharField(choices=[('verify', 'Verification'), ('rotate', 'New credential')], help_text='Whether the connection was verified, or a credential that was to replace its own.', max_length=20)),
                ('outcome', models.CharField(choices=[('ok', 'Good'), ('warning', 'Good, with a warning'), ('failed', 'Failed')], help_text='The worst of its steps.', max_length=20)),
                ('actor', models.CharField(help_text='Staff user, API client or service part.', max_length=200)),
                ('account', models.CharField(blank=True, help_text='Account the provider named; empty: none.', max_length=200)),
                ('steps', models.JSONField(default=list, help_text='What was tried, in order, each with its outcome; redacted.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('connection', models.ForeignKey(help_text='What was verified.', on_delete=django.db.models.deletion.CASCADE, related_name='verifications', to='connections.integrationconnection')),
            ],
            options={
                'verbose_name': 'verification',
                'db_table': 'connection_verifications',
                'ordering': ('-verification_id',),
                'indexes': [models.Index(fields=['connection', '-verification_id'], name='verification_by_connection')],
            },
        ),
    ]
