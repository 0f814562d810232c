"""What is left to do about secrets that are kept elsewhere."""

from __future__ import annotations

import uuid6
from django.db import models

from connections.outbox_models import OutboxRow


class ForgottenSecret(OutboxRow):
    """A secret nobody needs any more that key management still has; the row goes when it is overwritten there."""

    row_id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False, help_text="Time-ordered (UUID 7).")
    reference = models.CharField(max_length=300, help_text="Reference of the secret; never the secret.")

    class Meta:
        db_table = "forgotten_secrets"
        verbose_name = "forgotten secret"
        constraints = [models.UniqueConstraint(fields=["tenant_id", "reference"], name="forgotten_once")]
        indexes = [models.Index(fields=["tenant_id", "next_attempt_at"], name="forgotten_due")]

    def __str__(self) -> str:
        return self.reference
