from django.db import migrations, models


def keep_one(apps, schema_editor):
    """Before it was one a credential; a token that goes is made again."""
    rows = apps.get_model('connections', 'AccessToken').objects
    kept = set()
    for key, *credential in list(rows.order_by('-renewable', 'pk').values_list('pk', 'tenant_id', 'auth_ref')):
        if tuple(credential) in kept:
            rows.filter(pk=key).delete()
        kept.add(tuple(credential))


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0010_breakers'),
    ]

    operations = [
        migrations.RemoveConstraint(model_name='accesstoken', name='access_token_once_a_credential'),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.UniqueConstraint(fields=('tenant_id', 'auth_ref', 'provider'), name='access_token_once_a_credential'),
        ),
        migrations.RunPython(migrations.RunPython.noop, keep_one),
        migrations.AlterField(
            model_name='accesstoken',
            name='source_digest',
            field=models.CharField(blank=True, help_text='Hash of that credential and where its tokens are good; with another one it begins anew.', max_length=64),
        ),
    ]
