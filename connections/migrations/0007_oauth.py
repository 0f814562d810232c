import django.db.models.deletion
import uuid6
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0006_access_tokens'),
        ('providers', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='OAuthClient',
            fields=[
                ('client_row_id', models.UUIDField(default=uuid6.uuid7, editable=False, help_text='Time-ordered (UUID 7).', primary_key=True, serialize=False)),
                ('tenant_id', models.CharField(db_index=True, default='*', help_text='Tenant that may use it; * is every tenant.', max_length=100)),
                ('origin', models.CharField(blank=True, help_text="Scheme and host of a self-managed server; empty: the provider's own.", max_length=300)),
                ('client_id', models.CharField(help_text='Public id the provider gave the app.', max_length=300)),
                ('secret_ref', models.CharField(blank=True, help_text="Reference to the app's secret in the secret store; never the secret.", max_length=300)),
                ('scopes', models.JSONField(blank=True, default=list, help_text="Scopes to ask for; empty: the adapter's.")),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('provider', models.ForeignKey(help_text='Tool.', on_delete=django.db.models.deletion.PROTECT, related_name='oauth_clients', to='providers.integrationprovider')),
            ],
            options={
                'verbose_name': 'OAuth client',
                'db_table': 'oauth_clients',
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'provider', 'origin'), name='oauth_client_once_a_tenant')],
            },
        ),
        migrations.CreateModel(
            name='OAuthAuthorisation',
            fields=[
                ('authorisation_id', models.UUIDField(default=uuid6.uuid7, editable=False, help_text='Time-ordered (UUID 7).', primary_key=True, serialize=False)),
                ('tenant_id', models.CharField(db_index=True, help_text='Tenant it was started for.', max_length=100)),
                ('renews', models.BooleanField(default=False, help_text='Whether an existing connection is authorised again.')),
                ('state_hash', models.BinaryField(help_text='SHA-256 of the state.', max_length=32, unique=True)),
                ('browser_hash', models.BinaryField(blank=True, default=b'', help_text='SHA-256 of the staff session that must come back; or empty.', max_length=32)),
                ('display_name', models.CharField(help_text='Name of the connection to be made.', max_length=200)),
                ('settings', models.JSONField(blank=True, default=dict, help_text='Its settings, as far as they are known before.')),
                ('site', models.CharField(blank=True, help_text='Which of several sites is wanted.', max_length=300)),
                ('scopes', models.JSONField(blank=True, default=list, help_text='Scopes that were asked for.')),
                ('redirect_uri', models.CharField(help_text='Where the provider sends the browser back to.', max_length=500)),
                ('return_url', models.CharField(blank=True, help_text='Where the browser goes in the end.', max_length=2000)),
                ('actor', models.CharField(help_text='Who started it.', max_length=200)),
                ('expires_at', models.DateTimeField(db_index=True, help_text='Until when the browser may come back.')),
                ('claimed_at', models.DateTimeField(blank=True, help_text='When the browser came back; only once.', null=True)),
                ('outcome', models.CharField(choices=[('under_way', 'Under way'), ('connected', 'Connected'), ('failed', 'Failed')], default='under_way', help_text='What came of it.', max_length=20)),
                ('detail', models.TextField(blank=True, help_text='What happened, in words a person can act on.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('client', models.ForeignKey(help_text='App that asks for access.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='connections.oauthclient')),
                ('connection', models.ForeignKey(help_text='Connection to authorise again; else the one that was made.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='connections.integrationconnection')),
                ('provider', models.ForeignKey(help_text='Tool.', on_delete=django.db.models.deletion.PROTECT, related_name='+', to='providers.integrationprovider')),
            ],
            options={
                'verbose_name': 'authorisation',
                'db_table': 'oauth_authorisations',
                'ordering': ('-authorisation_id',),
            },
        ),
    ]
