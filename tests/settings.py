"""The product's own settings, with keys made for this run alone and nothing read from a .env."""

import atexit
import base64
import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

TEST_DIR = Path(tempfile.mkdtemp(prefix="backfuture-tests-"))
atexit.register(shutil.rmtree, TEST_DIR, ignore_errors=True)

(TEST_DIR / "static").mkdir()
_private = X25519PrivateKey.generate()
_public = base64.urlsafe_b64encode(_private.public_key().public_bytes_raw()).decode()
_key_file = TEST_DIR / "private-keys.json"
_key_file.write_text(
    json.dumps({"test": base64.urlsafe_b64encode(_private.private_bytes_raw()).decode()})
)
_key_file.chmod(0o600)

# What the run was given, for tests that start the product's own processes (running.py). Noted
# once: processes that share the tests inherit what is set below and would take it for given.
_services = ("DATABASE_URL", "CELERY_BROKER_URL")
_given = json.dumps({name: os.environ[name] for name in _services if name in os.environ})
GIVEN: dict[str, str] = json.loads(os.environ.setdefault("GIVEN_TO_TESTS", _given))


def _beside_others(broker: str) -> str:
    """Tests in several processes have a Redis database each: .../5, .../6 and so on."""
    server, _, number = broker.rpartition("/")
    process = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"{server}/{int(number) + int(process)}" if number.isdigit() else broker


if "CELERY_BROKER_URL" in GIVEN:
    GIVEN["CELERY_BROKER_URL"] = _beside_others(GIVEN["CELERY_BROKER_URL"])
    os.environ |= GIVEN
os.environ.update(
    ENV_FILE=os.devnull,
    VAR_DIR=str(TEST_DIR),
    SECRET_KEY=secrets.token_urlsafe(48),
    FERNET_KEYS=secrets.token_urlsafe(32),
    FINGERPRINT_PEPPER=secrets.token_urlsafe(32),
    VAULT_PUBLIC_KEYS=f"test:{_public}",
    VAULT_RECOVERY_KEY="",
    VAULT_PRIVATE_KEYS_FILE=str(_key_file),
    EMAIL_URL="memorymail://",
    SERVER_IPS="203.0.113.7,203.0.113.8",
    ALLOW_EXCHANGE_GATEWAY="1",
    BACKFUTURE_ROLE="command",
)
os.environ.setdefault("DATABASE_URL", f"sqlite:///{TEST_DIR / 'db.sqlite3'}")
os.environ.setdefault("CELERY_BROKER_URL", "memory://")

from backfuture.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, as in life: threads that share one in memory meet other locks than processes do.
    DATABASES["default"]["TEST"] = {"NAME": TEST_DIR / "test.sqlite3"}  # noqa: F405
else:
    # What a test commits need not outlast the machine.
    DATABASES["default"].setdefault("OPTIONS", {})["options"] = "-c synchronous_commit=off"  # noqa: F405
