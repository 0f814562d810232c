"""One settings file, driven by the environment; ``.env.example`` lists every variable."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from cryptography.fernet import Fernet, MultiFernet
from django.core.exceptions import ImproperlyConfigured
from environs import Env
from kombu import Queue

from integration_adapters.logs import configure_logging
from integration_adapters.unfold import UNFOLD as UNFOLD
from providers.outbound import OutboundPolicy

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)

ENVIRONMENT: str = env.str("ENVIRONMENT", "dev")
if ENVIRONMENT not in ("dev", "stage", "prod"):
    raise ImproperlyConfigured(f"ENVIRONMENT must be dev, stage or prod, not {ENVIRONMENT!r}")
IS_PRODUCTION = ENVIRONMENT != "dev"
DEBUG = False

_DEVELOPMENT_KEY = "development-only-key-never-used-outside-a-developers-machine"
_DEVELOPMENT_SECRETS_KEY = "ZGV2ZWxvcG1lbnQtb25seS1rZXktbmV2ZXItdXNlZC0="


def _required_in_production(name: str, development_value: str) -> str:
    value = env.str(name, "").strip(" ,")
    if IS_PRODUCTION and (not value or development_value in value):
        raise ImproperlyConfigured(f"{name} must be set to a value of its own when ENVIRONMENT is {ENVIRONMENT}")
    return value or development_value


def _fernet_keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split(",") if key.strip()]
    try:
        MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ImproperlyConfigured("SECRETS_KEYS must be Fernet keys: 32 bytes in URL-safe base64 each") from None
    return keys


SECRET_KEY = _required_in_production("SECRET_KEY", _DEVELOPMENT_KEY)
# Fernet keys, newest first; every stored secret can be read with any of them, new ones use the first.
SECRETS_KEYS: list[str] = _fernet_keys(_required_in_production("SECRETS_KEYS", _DEVELOPMENT_SECRETS_KEY))
PUBLIC_BASE_URL: str = env.str("PUBLIC_BASE_URL", "http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL] if PUBLIC_BASE_URL.startswith("https://") else []

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "integration_adapters",
    "providers",
    "connections",
    "events",
    "webhooks",
    "polling",
    "actions",
]

MIDDLEWARE = [
    "integration_adapters.middleware.CorrelationMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "integration_adapters.middleware.ContentSecurityPolicyMiddleware",
    "integration_adapters.middleware.ChunkedBodyMiddleware",
    "integration_adapters.middleware.UnusableValueMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "integration_adapters.urls"
WSGI_APPLICATION = "integration_adapters.wsgi.application"
# API paths have no trailing slash; redirecting a POST would lose its body.
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "integration_adapters" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASE_URL: str = env.str("DATABASE_URL", "") or f"sqlite:///{VAR_DIR / 'db.sqlite3'}"
DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    VAR_DIR.mkdir(exist_ok=True)
else:
    DATABASES["default"]["ENGINE"] = "integration_adapters.database"
# For the statements that store webhooks and pages; a pooler that mixes sessions must know prepared statements.
DATABASE_PREPARED_STATEMENTS: bool = env.bool("DATABASE_PREPARED_STATEMENTS", True)

REDIS_URL: str = env.str("REDIS_URL", "") or "redis://127.0.0.1:6379/0"
# What a process may remember by itself for seconds: answers of the identity service. It needs no Redis.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 10_000}},
}

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AXES_VERBOSE = False
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_TEMPLATE = "admin/console/locked_out.html"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_IPWARE_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", 0)

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not IS_PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if IS_PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# Security: https is assumed outside development, behind a proxy that sets X-Forwarded-Proto.
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if IS_PRODUCTION:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # Probes and provider callbacks reach the process directly or through the proxy; a redirect helps neither.
    SECURE_REDIRECT_EXEMPT = [r"^health$", r"^ready$", r"^metrics$", r"^v1/integrations/webhooks/"]
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True

# The webhook road reads its own body under a cap of its own; this limit is for the API and the admin.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["integration_adapters.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["connections.tenancy.HasTenantRole"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["connections.parsing.ObjectParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "connections.parsing.AlwaysJson",
    "DEFAULT_PAGINATION_CLASS": "connections.pagination.NewestFirst",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "integration_adapters.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Integration Adapters",
    "DESCRIPTION": (BASE_DIR / "integration_adapters" / "api.md").read_text(encoding="utf-8"),
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": True,
    "TAGS": [
        {"name": "Connections", "description": "A tenant's authorised links to providers."},
        {"name": "Webhooks", "description": "Doors through which providers push."},
        {"name": "Polling", "description": "Reading what providers do not push, now and for the past."},
        {"name": "Events", "description": "What came in and what became of it."},
        {"name": "Actions", "description": "What was done through connections."},
        {"name": "Providers", "description": "The tools this deployment can talk to."},
        {"name": "OAuth", "description": "Authorising a connection in the browser."},
        {"name": "Internal", "description": "For the platform's own services."},
        {"name": "Operation", "description": "For the machines that run this service."},
    ],
    "ENUM_NAME_OVERRIDES": {
        "ConnectionStatus": "connections.serializers.PRESENT_STATUSES",
        "WantedConnectionStatus": "connections.serializers.WANTED_STATUSES",
        "RegistrationStatus": "webhooks.serializers.PRESENT_STATUSES",
        "DiagnosisState": "webhooks.diagnosis.State",
        "DeliveryStatus": "events.models.DeliveryStatus",
        "EventSource": "events.models.Source",
        "GapCause": "events.gap_models.GapCause",
        "GapRepair": "events.gap_models.GapRepair",
        "GapStatus": "events.gap_models.GapStatus",
        "ActionStatus": "actions.models.ActionStatus",
        "BreakerState": "connections.breaker_models.BreakerState",
        "CredentialForecast": "connections.expiry.FORECASTS",
        "OneEffect": "actions.serializers.MEANS",
        "VerificationOutcome": "connections.verification_models.VerificationOutcome",
        "BackfillStatus": "polling.models.BackfillStatus",
        "BackfillPurpose": "polling.models.BackfillPurpose",
        "IncidentSeverity": "connections.models.IncidentSeverity",
        "IncidentStatus": "connections.models.IncidentStatus",
        "PollOutcome": "polling.models.PollOutcome",
        "ProviderStatus": "providers.models.ProviderStatus",
        "AcceptanceStatus": "events.serializers.ACCEPTANCE_STATUSES",
        "LivenessStatus": "integration_adapters.views.ALIVE",
        "ReadinessStatus": "integration_adapters.views.READINESS",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "integration_adapters.openapi.complete",
    ],
}

# Identity of API clients
IAM_MODE: str = env.str("IAM_MODE", "jwks" if IS_PRODUCTION else "local")
if IAM_MODE not in ("local", "jwks", "introspect"):
    raise ImproperlyConfigured(f"IAM_MODE must be local, jwks or introspect, not {IAM_MODE!r}")
IAM_SERVICE_URL: str = env.str("IAM_SERVICE_URL", "").rstrip("/")
IAM_JWKS_URL: str = env.str("IAM_JWKS_URL", "")
IAM_ISSUER: str = env.str("IAM_ISSUER", "")
IAM_AUDIENCE: str = env.str("IAM_AUDIENCE", "integration-adapters")
IAM_TIMEOUT_SECONDS: float = env.float("IAM_TIMEOUT_SECONDS", 3.0)
IAM_CACHE_SECONDS: int = env.int("IAM_CACHE_SECONDS", 30)

# Neighbours; an empty URL selects the embedded default
PM3_SERVICE_URL: str = env.str("PM3_SERVICE_URL", "").rstrip("/")
PM3_TIMEOUT_SECONDS: float = env.float("PM3_TIMEOUT_SECONDS", 10.0)
KMS_SERVICE_URL: str = env.str("KMS_SERVICE_URL", "").rstrip("/")
KMS_TIMEOUT_SECONDS: float = env.float("KMS_TIMEOUT_SECONDS", 3.0)
BUDGET_SERVICE_URL: str = env.str("BUDGET_SERVICE_URL", "").rstrip("/")
BUDGET_TIMEOUT_SECONDS: float = env.float("BUDGET_TIMEOUT_SECONDS", 2.0)
BUDGET_FAIL_MODE: str = env.str("BUDGET_FAIL_MODE", "")
ERIS_SERVICE_URL: str = env.str("ERIS_SERVICE_URL", "").rstrip("/")
ERIS_TIMEOUT_SECONDS: float = env.float("ERIS_TIMEOUT_SECONDS", 5.0)
RECEIPT_RETENTION_DAYS: int = env.int("RECEIPT_RETENTION_DAYS", 365)
ALERTING_SERVICE_URL: str = env.str("ALERTING_SERVICE_URL", "").rstrip("/")
ALERTING_TIMEOUT_SECONDS: float = env.float("ALERTING_TIMEOUT_SECONDS", 5.0)
PLATFORM_TOKEN: str = env.str("PLATFORM_TOKEN", "")

# Providers
EXTRA_ADAPTERS: dict[str, str] = env.dict("EXTRA_ADAPTERS", {})
OUTBOUND_POLICY = OutboundPolicy.parse(env.list("OUTBOUND_ALLOWED", []))
# Requests of one web process that may wait for providers at once, and how long; the other threads take webhooks.
PROVIDER_TURNS: int = env.int("PROVIDER_TURNS", 2)
PROVIDER_HOOKS_SECONDS: float = env.float("PROVIDER_HOOKS_SECONDS", 8.0)
PROVIDER_VERIFY_SECONDS: float = env.float("PROVIDER_VERIFY_SECONDS", 15.0)
REDACT_EMAILS: bool = env.bool("REDACT_EMAILS", True)

# Origins of pages, besides our own, to which a browser may return after an authorisation.
OAUTH_RETURN_ORIGINS: list[str] = env.list("OAUTH_RETURN_ORIGINS", [])

# Called when a connection is deleted, so that the parts above it can close what is theirs: first those that ask the
# provider, while there is a credential and no transaction, then those that belong to the deletion itself.
CONNECTION_LEAVERS = ["webhooks.provider_hooks.leave_provider"]
CONNECTION_CLOSERS = ["webhooks.registrations.close_all"]
# Asked at the end of a verification whether deliveries arrive.
WEBHOOK_LOOP = "webhooks.loop.webhook_loop"
# Asked for the health of a connection: how its actions ended.
ACTION_COUNTS = "actions.figures.action_counts"

# Webhooks
WEBHOOK_TIMESTAMP_TOLERANCE_SECONDS: int = env.int("WEBHOOK_TIMESTAMP_TOLERANCE_SECONDS", 300)
WEBHOOK_SIGNATURE_CACHE_TTL_SECONDS: int = env.int("WEBHOOK_SIGNATURE_CACHE_TTL_SECONDS", 3600)
# Limits as "<number>/<unit>"; a request beyond them is answered 429 with Retry-After.
WEBHOOK_RATE_PER_CONNECTION: str = env.str("WEBHOOK_RATE_PER_CONNECTION", "12000/minute")
WEBHOOK_RATE_PER_TENANT: str = env.str("WEBHOOK_RATE_PER_TENANT", "30000/minute")
# A process remembers an open door and its secrets for so long; 0 asks the database each time.
WEBHOOK_DOOR_CACHE_SECONDS: float = env.float("WEBHOOK_DOOR_CACHE_SECONDS", 2.0)
# Verified deliveries that could not be read, kept a door; when it is full the provider is told to try again.
WEBHOOK_QUARANTINE_SIZE: int = env.int("WEBHOOK_QUARANTINE_SIZE", 500)
WEBHOOK_EVIDENCE_DAYS: int = env.int("WEBHOOK_EVIDENCE_DAYS", 14)
WEBHOOK_SECRET_GRACE_SECONDS: int = env.int("WEBHOOK_SECRET_GRACE_SECONDS", 24 * 3600)
# Between two looks at a hook and its provider's ledger of deliveries; a loss is noticed within about so long.
WEBHOOK_RECONCILE_SECONDS: float = env.float("WEBHOOK_RECONCILE_SECONDS", 180.0)

# Delivery
DELIVERY_BATCH_SIZE: int = env.int("DELIVERY_BATCH_SIZE", 500)
DELIVERY_LEASE_SECONDS: int = env.int("DELIVERY_LEASE_SECONDS", 60)
DELIVERY_GIVE_UP_HOURS: int = env.int("DELIVERY_GIVE_UP_HOURS", 24)
EVENT_RETENTION_DAYS: int = env.int("EVENT_RETENTION_DAYS", 30)

# Polling
POLL_BATCH_SIZE: int = env.int("POLL_BATCH_SIZE", 500)
POLL_LEASE_SECONDS: int = env.int("POLL_LEASE_SECONDS", 120)
POLL_PAGES_PER_RUN: int = env.int("POLL_PAGES_PER_RUN", 20)
POLL_INTERVAL_SECONDS: int = env.int("POLL_INTERVAL_SECONDS", 300)
POLL_INTERVAL_MIN_SECONDS: int = env.int("POLL_INTERVAL_MIN_SECONDS", 30)
POLL_INTERVAL_MAX_SECONDS: int = env.int("POLL_INTERVAL_MAX_SECONDS", 3600)
POLL_YIELDS_SECONDS: int = env.int("POLL_YIELDS_SECONDS", 10)
POLLS_PER_MINUTE: int = env.int("POLLS_PER_MINUTE", 60)
BACKFILLS_AT_ONCE: int = env.int("BACKFILLS_AT_ONCE", 5)

# Actions
# How long a caller that waits is kept, and how long one attempt by a worker may take.
ACTION_SYNC_SECONDS: float = env.float("ACTION_SYNC_SECONDS", 10.0)
ACTION_ATTEMPT_SECONDS: float = env.float("ACTION_ATTEMPT_SECONDS", 30.0)
ACTION_LEASE_SECONDS: int = env.int("ACTION_LEASE_SECONDS", 90)
ACTION_GIVE_UP_SECONDS: int = env.int("ACTION_GIVE_UP_SECONDS", 3600)
ACTION_RETENTION_DAYS: int = env.int("ACTION_RETENTION_DAYS", 90)

# Celery. Messages carry row ids only; what is due later is a due row, so nothing depends on the broker's memory.
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_connect_timeout": 2,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
# Delivery has workers of its own, so that neither a backlog nor a slow provider holds up the other road.
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_QUEUES = (Queue("default", routing_key="default"), Queue("delivery", routing_key="delivery"))
CELERY_TASK_ROUTES = {"events.*": {"queue": "delivery"}, "connections.send_*": {"queue": "delivery"}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_EAGER_RESULT = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 300
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_TIMEZONE = "UTC"

LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO").upper()
LOGGING = configure_logging(
    console=not IS_PRODUCTION and sys.stderr.isatty(),
    level=LOG_LEVEL,
    redact_emails=REDACT_EMAILS,
    secrets=(
        SECRET_KEY,
        *SECRETS_KEYS,
        PLATFORM_TOKEN,
        str(DATABASES["default"].get("PASSWORD") or ""),
        urlsplit(REDIS_URL).password or "",
    ),
)
