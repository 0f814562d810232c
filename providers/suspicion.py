"""A quick look at a text: can redaction change anything in it at all?

Answers "perhaps" too often and "no" never wrongly: each pattern here is wider than what redaction replaces.
It looks at the JSON text of a whole payload at once, so a quote or a control character of the original stands
behind a backslash. The regular expressions run in jsonschema-rs, whose engine (Rust's ``regex``) reads a text once and
looks for many words at once; Python's would take longer than everything else done with a payload.
"""

from __future__ import annotations

import jsonschema_rs

from providers.secret_shapes import SECRET_WORDS, SHAPES

# White space of the original, as it stands in JSON text.
_GAP = r"(?:\s|\\[nrtbf]|\\u00[01][0-9a-f])"
# A key may end in a line break, which does not count there.
_KEYS = rf"(?i)(?:{SECRET_WORDS.replace('_?', '[-. _]?')})(?:\\n)?\":"
_WORDS = [word for words, _ in SHAPES for word in words]
_TOKENS = "|".join(word.replace(".", r"\.") for word in _WORDS)
# Words of ordinary texts too; with what must follow them they are rare.
_VAGUE = ("sk-", "earer", "asic", "EARER", "ASIC")
_TELLING = "|".join(word.replace(".", r"\.") for word in _WORDS if word not in _VAGUE)
_VAGUE_SHAPES = (
    r"sk-(?:proj|ant|svcacct|admin|or)-|sk-[A-Za-z0-9]{32}|"
    rf"(?:[Bb]earer|[Bb]asic|BEARER|BASIC){_GAP}+[A-Za-z0-9._~+/=-]{{12}}"
)
# In a text a quote stands behind a backslash; one that does not is the end of a key.
_LABELS = "password|passwd|passphrase|secret|token|api_?key|access_?key|account_?key|private_?key"
_LABELLED = rf"(?i)(?:{_LABELS})(?:\\+[\"']|'|=)"
_PASSWORD = rf"(?i)(?:password|passwd|passphrase|pwd){_GAP}*:"
_QUERY = r"(?i)[?&][a-z0-9_-]*(?:token|secret|password|signature|api_?key|sig|auth|jwt)="
_USER = r"://(?:[^/\s:@\"\\]|\\.)+:(?:[^/\s\"\\]|\\.)+@|://(?:[^/\s:@\"\\]|\\.){20,}@"
# Letters outside ASCII that Python takes for i, s and k where case does not count.
_ODD_LETTERS = "[\u0130\u0131\u017f\u212a]"
_ADDRESS = r"@(?:[A-Za-z0-9\-]+\.)+[A-Za-z]"
# The account of a clone address, which is no person's.
_GIT = ('"git', "/git", " git")


def _finds(schema: dict[str, object]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema, pattern_options=jsonschema_rs.RegexOptions())


_tokens = _finds({"pattern": _TOKENS})
_address = _finds({"pattern": _ADDRESS})
_user = _finds({"pattern": _USER})
_anything = _finds(
    {
        "anyOf": [
            {"pattern": _TELLING},
            {"pattern": _VAGUE_SHAPES},
            {"pattern": _KEYS},
            {"pattern": _QUERY},
            {"pattern": _LABELLED},
            {"pattern": _PASSWORD},
            {"pattern": _ODD_LETTERS},
        ]
    }
)


def is_beyond_suspicion(text: str, *, emails: bool) -> bool:
    """Whether a JSON text holds nothing that redaction would replace, e-mail addresses included if asked."""
    if _anything.is_valid(text):
        return False
    if "@" not in text or all(map(_is_harmless, text.split("@")[:-1])):
        return True
    return not _user.is_valid(text) and not (emails and _address.is_valid(text))


def _is_harmless(before: str) -> bool:
    """Whether an at sign after this text belongs neither to a person's address nor to a user of an address."""
    # A quote behind a backslash is part of the original, so it ends no user name.
    return before.endswith(_GIT) and not before.endswith('\\"git')


def may_hold_a_token(text: str) -> bool:
    """Whether one of the words stands there that every token shape needs; for any text, not only JSON."""
    return _tokens.is_valid(text)
