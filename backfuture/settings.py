"""One settings file. Every secret comes from the environment and none has a default;
what is missing or does not fit is named by `manage.py check` (connections/checks.py)."""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from . import environment
from .accounts.desk_look import UNFOLD as UNFOLD
from .timetable import CELERY_BEAT_SCHEDULE as CELERY_BEAT_SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent
env = environment.read(Path(os.environ.get("ENV_FILE", BASE_DIR / ".env")))
VERSION = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
VAR_DIR = BASE_DIR / env("VAR_DIR", default="var")

# --- who and where -----------------------------------------------------------------------
DEBUG = env.switch("DEBUG")
SECRET_KEY = env("SECRET_KEY", default="")  # Django refuses to use an empty one
SITE_URL = env("SITE_URL", default="http://127.0.0.1:8000")
HTTPS = urlsplit(SITE_URL).scheme == "https"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = [SITE_URL] if HTTPS else []

# --- the vault (connections/vault.py) ------------------------------------------------------
# "web" is set by wsgi.py, "worker" and "beat" by whoever starts them; anything else is a command.
ROLE = env("BACKFUTURE_ROLE", default="command")
FERNET_KEYS = env.list("FERNET_KEYS", default=[])
FINGERPRINT_PEPPER = env("FINGERPRINT_PEPPER", default="")
VAULT_PUBLIC_KEYS = env.list("VAULT_PUBLIC_KEYS", default=[])  # "id:base64"; the first one seals
VAULT_RECOVERY_KEY = env("VAULT_RECOVERY_KEY", default="")  # "id:base64"; its other half is offline
VAULT_PRIVATE_KEYS_FILE = env("VAULT_PRIVATE_KEYS_FILE", default="")  # the worker's alone

# --- talking to exchanges (connections/exchanges/client.py) --------------------------------
SERVER_IPS = env.list("SERVER_IPS", default=[])  # what users put on their key's IP list
EXCHANGE_PROXY_URL = env("EXCHANGE_PROXY_URL", default="")
EXCHANGE_GATEWAY_URL = env("EXCHANGE_GATEWAY_URL", default="")  # operators and tests only
ALLOW_EXCHANGE_GATEWAY = env.switch("ALLOW_EXCHANGE_GATEWAY")
# Times the pace at which scheduled tests ask an exchange (connections/exchanges/pace.py).
SWEEP_PACE = env.float("SWEEP_PACE", default=1.0)

# --- notices to chat services (connections/outbound.py) -------------------------------------
ALLOW_PRIVATE_NOTICE_HOSTS = env.switch("ALLOW_PRIVATE_NOTICE_HOSTS")  # operators and tests only

INSTALLED_APPS = [
    "backfuture.accounts",
    "connections",
    "strategies",
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it takes the place of
    "backfuture.accounts.apps.DeskConfig",  # django.contrib.admin with our own site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_celery_beat",
    "django_htmx",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "backfuture.accounts.sessions.SignedCookies",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "backfuture.accounts.middleware.VisitorMiddleware",
    "backfuture.accounts.middleware.ViewAsMiddleware",
]

ROOT_URLCONF = "backfuture.urls"
WSGI_APPLICATION = "backfuture.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- database, cache, sessions -------------------------------------------------------------
SQLITE_OPTIONS = {
    # Measured: 0 of 2,000 submissions met a locked database (deferred transactions: 599).
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": ("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"),
}
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = SQLITE_OPTIONS
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Shared by all processes: rate limits counted per process would count nothing.
CACHES = {"default": env.cache("CACHE_URL", default=f"filecache://{VAR_DIR / 'cache'}")}
if CACHES["default"]["BACKEND"].endswith("FileBasedCache"):
    CACHES["default"]["BACKEND"] = "backfuture.accounts.cache.SharedFileCache"
    CACHES["default"]["OPTIONS"] = {"MAX_ENTRIES": 20_000}  # 300 are soon pushed out

# --- sign-in -------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
] + [{"NAME": "backfuture.accounts.passwords.BreachedOrGuessable"}]
EMAIL_URL_GIVEN = bool(env("EMAIL_URL", default=""))
ACCOUNT_ADAPTER = "backfuture.accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
# Where mails are only printed, nobody could confirm an address before signing in.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if EMAIL_URL_GIVEN else "optional"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_FORMS = {
    "login": "backfuture.accounts.forms.SignIn",
    "signup": "backfuture.accounts.forms.SignUp",
    "add_email": "backfuture.accounts.forms.AddAddress",
    "reset_password": "backfuture.accounts.forms.ForgottenPassword",
    "reset_password_from_key": "backfuture.accounts.forms.PasswordAfterReset",
    "change_password": "backfuture.accounts.forms.ChangePassword",
    "set_password": "backfuture.accounts.forms.SetPassword",
}
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[BackFuture] "
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300  # seconds
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_LOGOUT_ON_GET = False
USERSESSIONS_ADAPTER = "backfuture.accounts.adapters.SessionsAdapter"
MFA_ADAPTER = "backfuture.accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "BackFuture"
MFA_TOTP_PERIOD = 30  # seconds
MFA_TOTP_TOLERANCE = 1  # steps of 30 s: clocks of phones are a little off
MFA_WEBAUTHN_USER_VERIFICATION = "required"  # a stolen key alone lets nobody in
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS  # browsers allow it on localhost alone
MFA_FORMS = {
    "authenticate": "backfuture.accounts.forms.CodeForm",
    "reauthenticate": "backfuture.accounts.forms.ConfirmingCodeForm",
    "activate_totp": "backfuture.accounts.forms.FirstCodeForm",
}
REQUIRE_MFA = env.switch("REQUIRE_MFA")
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no cookie of its own
SESSION_ENGINE = "backfuture.accounts.sessions"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "connections:list"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
EMAIL_CONFIG = env.email("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 5  # seconds; a page must not hang on a mail server
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env("FROM_EMAIL", default="BackFuture <noreply@localhost>")
ADMINS = [("Operator", address) for address in env.list("ADMIN_EMAILS", default=[])]

# --- words, dates, files -------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
FORMAT_MODULE_PATH = "backfuture.formats"
LOCALE_PATHS = [BASE_DIR / "backfuture" / name for name in ("desk_words", "locale")]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "backfuture" / "static"]
STORAGES = {
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    }
}

# --- headers -------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
PERMISSIONS_POLICY: dict[str, list[str]] = {
    **{name: [] for name in ("camera", "display-capture", "geolocation", "microphone", "usb")},
    **{f"publickey-credentials-{what}": ["self"] for what in ("get", "create")},
}
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if HTTPS:  # the browser then takes these cookies from this host over https alone
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
X_FRAME_OPTIONS = "DENY"
BEHIND_TLS_PROXY = env.switch("BEHIND_TLS_PROXY")
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- work behind the pages -----------------------------------------------------------------
CELERY_BROKER_URL = env("CELERY_BROKER_URL", default="embedded://")
EMBEDDED_BROKER_DIR = VAR_DIR / "broker"
CELERY_TASK_IGNORE_RESULT = True  # and no result backend: a result is one more place to leak
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SOFT_TIME_LIMIT = 45  # a test ends itself after 30 s
CELERY_TASK_TIME_LIMIT = 60
# What people wait for is in a queue of its own: no sweep and no digest is ever before it.
CELERY_TASK_DEFAULT_QUEUE = "backfuture"
CELERY_TASK_ROUTES = {
    "connections.tasks.sweep_exchanges": {"queue": "sweep"},
    **{
        f"connections.tasks.{name}": {"queue": "notices"}
        for name in (
            *("tell", "send_notices", "make_digests", "audit", "thin", "count_tests"),
            *("destroy_replaced_keys", "run_incidents"),
        )
    },
    "strategies.tasks.look_after": {"queue": "notices"},
    "strategies.tasks.refresh_pairs": {"queue": "notices"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # nobody waits behind a slow test while a process is free
# A page that publishes with retry=False waits 0.1 s for a broker that refuses the connection
# and 2 s for one that is silent (kombu's defaults: 2 s and for ever). A worker keeps its own
# patience, and a long idle time is none of these timeouts.
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "socket_connect_timeout": 2,  # redis
    "socket_timeout": 2,
    "read_timeout": 2,  # amqp
    "write_timeout": 2,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker as long as it takes
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULER = "backfuture.schedules:KeptScheduler"

# --- logs and error reports ----------------------------------------------------------------
DEFAULT_EXCEPTION_REPORTER = "backfuture.safe_errors.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "backfuture.safe_errors.NoLocals"
LOG_LEVEL = env("LOG_LEVEL", default="INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # At DEBUG these write headers and URLs, keys and signatures included; django.template writes
    # all that a page was made of, and django.db.backends every value that is stored.
    # What apprise writes at any level may be the address of a chat service, tokens included.
    "loggers": {
        "apprise": {"level": logging.CRITICAL + 1},
        **{
            name: {"level": "WARNING"}
            for name in (
                *("ccxt", "urllib3", "requests", "aiohttp", "asyncio", "kombu"),
                *("django.template", "django.db.backends"),
            )
        },
    },
}
