import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0009_verification'),
    ]

    operations = [
        migrations.CreateModel(
            name='ConnectionBreaker',
            fields=[
                ('connection', models.OneToOneField(help_text='Whose calls it lets through or stops.', on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='breaker', serialize=False, to='connections.integrationconnection')),
                ('tenant_id', models.CharField(db_index=True, help_text='Tenant it belongs to.', max_length=100)),
                ('state', models.CharField(choices=[('closed', 'Closed'), ('open', 'Open'), ('half_open', 'Half open')], default='closed', help_text='What the calls have shown.', max_length=20)),
                ('held', models.CharField(blank=True, choices=[('open', 'Held open'), ('closed', 'Held closed')], help_text='What a person decided instead; empty: nobody did.', max_length=20)),
                ('generation', models.PositiveBigIntegerField(default=0, help_text='Grows with every opening, closing and decision; results of earlier calls do not count.')),
                ('failures', models.PositiveIntegerField(default=0, help_text='Failed calls in a row.')),
                ('successes', models.PositiveIntegerField(default=0, help_text='Trial calls that worked since it last opened.')),
                ('opened_at', models.DateTimeField(blank=True, help_text='When it last opened after being closed.', null=True)),
                ('retry_at', models.DateTimeField(blank=True, help_text='When the next trial call may be made.', null=True)),
                ('trial_token', models.UUIDField(blank=True, editable=False, help_text='Fencing token of the trial call.', null=True)),
                ('trial_until', models.DateTimeField(blank=True, help_text='When the trial call under way is taken for dead.', null=True)),
                ('last_error', models.CharField(blank=True, help_text='Last failure that counted.', max_length=500)),
                ('last_error_at', models.DateTimeField(blank=True, help_text='When that was.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'verbose_name': 'circuit breaker',
                'db_table': 'connection_breakers',
                'ordering': ('-connection_id',),
            },
        ),
        migrations.AddIndex(
            model_name='connectionbreaker',
            index=models.Index(condition=models.Q(models.Q(('state', 'closed'), _negated=True), models.Q(('held', ''), _negated=True), _connector='OR'), fields=['state'], name='breaker_not_closed'),
        ),
        migrations.AddConstraint(
            model_name='connectionbreaker',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['closed', 'open', 'half_open'])), name='breaker_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='connectionbreaker',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('trial_token__isnull', True), ('trial_until__isnull', True)), models.Q(('state', 'half_open'), ('trial_token__isnull', False), ('trial_until__isnull', False)), _connector='OR'), name='breaker_trial_is_half_open'),
        ),
    ]
