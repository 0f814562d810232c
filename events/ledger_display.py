"""How a ledger looks to staff."""

from __future__ import annotations

from dataclasses import asdict

from django.utils.html import format_html
from django.utils.safestring import SafeString

from events.ledger import Ledger


def ledger_line(accounts: Ledger) -> SafeString:
    """The sum in words and, where it does not hold, by how much."""
    entries = asdict(accounts)
    received = entries.pop("received")
    line = f"{received} received = " + " + ".join(f"{number} {name}" for name, number in entries.items())
    if not accounts.unaccounted:
        return format_html("{}", line)
    if accounts.unaccounted > 0:
        fault = f"{accounts.unaccounted} events came in and are nowhere."
    else:
        fault = f"{-accounts.unaccounted} events are there that never came in."
    return format_html('{}<br><span class="console-error">{}</span>', line.replace(" = ", " ≠ ", 1), fault)
