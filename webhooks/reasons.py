"""What refusals and unreadable deliveries mean, and what a person can do about them."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """``words`` finish the sentence "deliveries were refused because …"; ``advice`` says what to do.

    ``taken``: they are not refused but kept in quarantine, and the provider is told that all is well.
    """

    words: str
    advice: str
    taken: bool = False


_ANOTHER_SCHEME = (
    "Compare the scheme of this registration with what is set at the provider, and look whether something on the "
    "way here removes headers."
)
_CLOCK = "Compare the clocks of this machine and of the sender."

REASONS: dict[str, Reason] = {
    "signature_missing": Reason(
        "they carried no signature",
        "Enter the secret of this registration at the provider. If nobody there sends without one, somebody else "
        "knows the URL: make a new registration and delete this one.",
    ),
    "signature_malformed": Reason("their signature header could not be read", _ANOTHER_SCHEME),
    "signature_mismatch": Reason(
        "their signature was made with another secret, or over another body",
        "Rotate the secret and enter the new one at the provider. If that does not help, a proxy changes the body.",
    ),
    "timestamp_missing": Reason("they carried no signed time", _ANOTHER_SCHEME),
    "timestamp_malformed": Reason("their signed time could not be read", _ANOTHER_SCHEME),
    "timestamp_stale": Reason(
        "they were signed too long ago",
        f"{_CLOCK} Old requests that are sent once more look the same: those are rightly refused.",
    ),
    "timestamp_future": Reason("they were signed in the future", _CLOCK),
    "id_missing": Reason("they carried no signed delivery id", _ANOTHER_SCHEME),
    "id_malformed": Reason("their signed delivery id could not be read", _ANOTHER_SCHEME),
    "token_expired": Reason("their token had expired", _CLOCK),
    "unsigned": Reason(
        "the provider signs nothing, and nobody has accepted that",
        "Accept unsigned deliveries on the connection's page, with a reason, or make a registration whose scheme "
        "proves the sender.",
    ),
    "too_large": Reason(
        "they were larger than the provider ever sends",
        "Subscribe to fewer events at the provider. If the vendor has raised its limit, the adapter must follow.",
    ),
    "encoded": Reason(
        "their bodies were compressed", "Switch compression off at the sender, or at the proxy that adds it."
    ),
    "too_many_parameters": Reason(
        "their address had too many parameters", "Enter the URL at the provider as it is shown here."
    ),
    "broken_off": Reason(
        "their bodies ended before they were complete",
        "The connection was lost on the way, or a proxy passes on what it has not received whole; a provider that "
        "tries again by itself sends them later.",
    ),
    "too_many_events": Reason(
        "one request told more events, or more bytes in events, than is taken at once",
        "Look who sent it. If the provider really sends such requests, the adapter must keep less with each event.",
    ),
    "rate_limited": Reason(
        "there were too many at once",
        "A provider that tries again by itself sends them later; at one that does not, send them again by hand. If "
        "that is normal here, raise WEBHOOK_RATE_PER_CONNECTION or WEBHOOK_RATE_PER_TENANT.",
    ),
    "keys_unavailable": Reason(
        "the provider's published keys are not known here yet",
        "They are fetched within a minute. If this lasts, look at Published keys in the admin for the error.",
    ),
    "secret_unavailable": Reason(
        "our own secret could not be read",
        "A key is missing from SECRETS_KEYS, or the secret was removed: put it back, or rotate.",
    ),
    "quarantine_full": Reason(
        "they could not be read, and there was no more room to keep them",
        "Read the quarantined deliveries again, or discard them; until then the provider is asked to try later.",
    ),
    "unreadable": Reason(
        "the body is not what the provider documents",
        "Compare it with the vendor's page. Once the adapter reads it, use Read again.",
    ),
    "adapter_failed": Reason(
        "the adapter has a fault", "Report it with the detail shown here. After the next release, use Read again."
    ),
    "unrouted": Reason(
        "no connection belongs to the account they name",
        "Connect that account and verify the connection, then use Read again under Quarantine; or discard them there.",
        taken=True,
    ),
}


def explained(reason: str) -> Reason:
    """The reason in words; one without an entry speaks for itself."""
    return REASONS.get(reason, Reason(reason.replace("_", " "), ""))
