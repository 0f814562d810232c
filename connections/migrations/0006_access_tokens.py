import django.db.models.deletion
import uuid6
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0005_last_webhook'),
        ('providers', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AccessToken',
            fields=[
                ('token_id', models.UUIDField(default=uuid6.uuid7, editable=False, help_text='Time-ordered (UUID 7).', primary_key=True, serialize=False)),
                ('tenant_id', models.CharField(db_index=True, help_text='Tenant it belongs to.', max_length=100)),
                ('auth_ref', models.CharField(help_text='Reference to the credential it is made from.', max_length=300)),
                ('source_digest', models.CharField(blank=True, help_text='Hash of that credential; another one under its reference begins anew.', max_length=64)),
                ('token_ref', models.CharField(blank=True, help_text='Reference to the current token set.', max_length=300)),
                ('previous_ref', models.CharField(blank=True, help_text='Reference to the set before it, until the current one is proven.', max_length=300)),
                ('generation', models.PositiveBigIntegerField(default=0, help_text='Token sets stored so far.')),
                ('renewable', models.BooleanField(default=False, help_text='Whether a refresh token keeps it alive, which may die when it is not used.')),
                ('scopes', models.JSONField(blank=True, default=list, help_text='Scopes that were granted, as far as it was told.')),
                ('expires_at', models.DateTimeField(blank=True, help_text='End of the current token; empty: never, or not told.', null=True)),
                ('refresh_at', models.DateTimeField(blank=True, help_text='When a new one is to be asked for, or again after a failure; empty: never.', null=True)),
                ('last_refreshed_at', models.DateTimeField(blank=True, help_text='When the current token was stored.', null=True)),
                ('refresh_started_at', models.DateTimeField(blank=True, help_text='Set before a token is asked for and cleared with its result.', null=True)),
                ('lease_token', models.UUIDField(blank=True, editable=False, help_text='Fencing token of who asks.', null=True)),
                ('lease_until', models.DateTimeField(blank=True, help_text='When somebody else may ask instead.', null=True)),
                ('attempts', models.PositiveIntegerField(default=0, help_text='Requests since the last that was granted.')),
                ('last_error', models.CharField(blank=True, help_text='Why the last request was not granted.', max_length=500)),
                ('last_category', models.CharField(blank=True, help_text='Category of that error.', max_length=20)),
                ('ended_at', models.DateTimeField(blank=True, help_text='Since when nothing is asked any more: the provider refuses the credential.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('provider', models.ForeignKey(help_text='Tool it is for.', on_delete=django.db.models.deletion.PROTECT, related_name='+', to='providers.integrationprovider')),
            ],
            options={
                'verbose_name': 'access token',
                'db_table': 'access_tokens',
                'indexes': [models.Index(condition=models.Q(('ended_at__isnull', True), ('renewable', True)), fields=['refresh_at'], name='access_token_due')],
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'auth_ref'), name='access_token_once_a_credential')],
            },
        ),
    ]
