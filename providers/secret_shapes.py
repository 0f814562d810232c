"""What secrets look like, as data: names of keys that hold one, and shapes of values.

Token shapes: the prefixes vendors publish for secret scanning, RFC 7519 (JWT), RFC 7468 (PEM).
"""

SECRET_WORDS = (
    "passwords?|passwd|passphrase|passcode|pwd|secret|api_?keys?|access_?keys?|private_?keys?|signing_?key|"
    "secret_?key|encryption_?key|account_?key|credential|credentials|authorization|auth_?token|access_?tokens?|"
    "refresh_?tokens?|id_?token|session_?token|session_?id|client_?secrets?|webhook_?secret|token|jwt|cookies?|"
    "set_?cookie|x_?api_?key|bearer"
)

# Shapes of secrets with the words one of which must be there: a search for words is cheap, for shapes it is not.
SHAPES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9._-]{16,}"),
    (("github_pat_",), r"github_pat_[A-Za-z0-9_]{20,}"),
    (
        ("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glft-", "glsoat-", "glimt-", "glagent-"),
        r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|imt|agent)-[A-Za-z0-9_.-]{16,}",
    ),
    (("xox",), r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{8,}"),
    (("xapp-",), r"xapp-[A-Za-z0-9-]{8,}"),
    # Addresses that post a message for whoever knows them: a workspace, then what must not be known.
    (
        ("/services/T", "/workflows/T", "/triggers/T", "/commands/T", "/actions/T", "/app/T"),
        r"(?<=\.com/)(?:services|workflows|triggers|commands|actions|app)/T[A-Z0-9]+/[A-Za-z0-9/]+",
    ),
    (("ATATT", "ATCTT"), r"AT[AC]TT[A-Za-z0-9_=-]{20,}"),
    (("lin_",), r"lin_(?:api|oauth|wh)_[A-Za-z0-9]{16,}"),
    (("whsec_",), r"whsec_[A-Za-z0-9+/=]{16,}"),
    (("k_live_", "k_test_"), r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    (("sk-",), r"sk-(?:proj|ant|svcacct|admin|or)-[A-Za-z0-9_-]{16,}|sk-[A-Za-z0-9]{32,}"),
    (("npm_",), r"npm_[A-Za-z0-9]{36}"),
    (("pypi-AgE",), r"pypi-AgE[A-Za-z0-9_-]{16,}"),
    (("hf_",), r"hf_[A-Za-z0-9]{30,}"),
    (("dop_v1_", "dor_v1_", "doo_v1_"), r"do[opr]_v1_[a-f0-9]{64}"),
    (("AIza",), r"AIza[A-Za-z0-9_-]{35}"),
    (("ya29.",), r"ya29\.[A-Za-z0-9_-]{16,}"),
    (("SG.",), r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    (("AKIA", "ASIA"), r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    # Starts only where a word starts: else a long run of "eyJ" would be scanned again from every one.
    # The key of an encrypted token (RFC 7516) may be empty; then two parts more follow.
    (
        ("eyJ",),
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{8,}|(?=\.))\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){0,2}",
    ),
    (
        ("-----BEGIN ",),
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|$)",
    ),
    # With a digit, a padding or a capital inside: "basic authentication" is only two words.
    (
        ("earer", "asic", "EARER", "ASIC"),
        r"\b(?:[Bb]earer|[Bb]asic|BEARER|BASIC)\s+(?=[A-Za-z._~+/-]*(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9._~+/=-]{12,}",
    ),
    (("earer", "EARER"), r"\b(?:[Bb]earer|BEARER)\s+[A-Za-z]{16,}"),
)
