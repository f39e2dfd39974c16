"""What `make audit` finds: keys planted in a tree of their own, made-up faults of packages."""

from __future__ import annotations

import base64
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def made_up(length: int) -> bytes:
    """The same on every machine, and nobody's."""
    return hashlib.shake_256(b"made up for test_audit").digest(length)


KEY = base64.urlsafe_b64encode(made_up(32)).decode()
PEM = "-----BEGIN {0}-----\n{1}\n-----END {0}-----".format(
    "PRIVATE " + "KEY", base64.b64encode(made_up(48)).decode()
)


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = importlib.util.spec_from_loader("audit", loader)
    assert spec
    made = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(made)
    sys.dont_write_bytecode = before
    return made


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with nothing in it but our baseline."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "secrets.baseline", tmp_path / ".ci")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    return tmp_path


def plant(tree: Path, name: str, text: str, *, tracked: bool = True) -> None:
    file = tree / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
    if tracked:
        subprocess.run(["git", "add", "--force", name], check=True)


PLANTED = {
    "Fernet key in the settings": ("backfuture/settings.py", f'FERNET_KEYS = ["{KEY}"]'),
    "default of a setting": ("backfuture/settings.py", f'env("X", default="{KEY[:-1]}")'),
    "public key with its id": ("backfuture/settings.py", f'KEYS = ["a1b2c3d4:{KEY}"]'),
    "Fernet key in the example": (".env.example", f"FERNET_KEYS={KEY}"),
    "Fernet key in a comment": (".env.example", f"# FERNET_KEYS={KEY}"),
    "two keys": (".env.example", f"FERNET_KEYS={KEY},{KEY}"),
    "hex in a document": ("README.md", f"Start it with `PEPPER={made_up(32).hex()}`."),
    "key in a script": (".ci/run", f"export SECRET_KEY={KEY}"),
    "key in the Makefile": ("Makefile", f"run:\n\tSECRET_KEY={KEY} python manage.py"),
    "private key in code": ("connections/vault.py", f'KEY = """{PEM}"""'),
    "private key beside a known header": ("connections/exchanges/binance.py", f'X = """{PEM}"""'),
    "private key in a document": ("docs/install.md", PEM),
    "private key as a file": ("deploy/worker.pem", PEM),
    "worker's key file": ("keys/private-keys.json", json.dumps({"a1b2c3d4": KEY})),
    "recovery key in a template": ("templates/500.html", f"<p>{KEY}</p>"),
    "password of a database": (
        "backfuture/settings.py",
        f'default="postgres://backfuture:{KEY[:12]}@db/x"',
    ),
    "token of a service in a test": ("tests/test_x.py", "T = 'AKIA" + "QX7SR2WZP4LM6TNB'"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_committed_key_is_found_and_not_repeated(audit, tree, planted):
    name, text = PLANTED[planted]
    plant(tree, name, text)
    found = audit.secrets()
    assert any(line.startswith(f"secrets: {name}:") for line in found), found
    assert KEY[:12] not in "".join(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("backfuture/settings.py", 'FERNET_KEYS = env.list("FERNET_KEYS", default=[])'),
        (".env.example", "# Example: redis://127.0.0.1:6379/1\nSECRET_KEY="),
        ("requirements.txt", f"django==5.2 --hash=sha256:{made_up(32).hex()}"),
        ("tests/test_x.py", f"KEY = '{KEY}'\nPEM = '''{PEM}'''"),
        ("connections/vault.py", "=" * 64 + "\n# " + "-" * 43 + "\n" + "a" * 64),
    ],
)
def test_what_is_no_key_is_left_alone(audit, tree, name, text):
    plant(tree, name, text)
    assert audit.secrets() == []


def test_untracked_file_is_nobodys_business(audit, tree):
    plant(tree, ".env", f"FERNET_KEYS={KEY}", tracked=False)
    assert audit.secrets() == []


def test_what_was_accepted_stays_so_and_hides_nothing_else(audit, tree):
    plant(tree, "README.md", f"An example: {KEY}")
    assert audit.main(["accept"]) == 0
    assert audit.secrets() == []
    assert KEY[:12] not in (tree / ".ci/secrets.baseline").read_text()
    other = base64.urlsafe_b64encode(made_up(64)[32:]).decode()
    plant(tree, "README.md", f"An example: {KEY}, and another: {other}")
    assert audit.secrets() == ["secrets: README.md:1: Random bytes"]


# --- pins ----------------------------------------------------------------------------------
HASH = f"--hash=sha256:{made_up(32).hex()}"
GOOD = f"django==5.2.19 ; python_version < '4' \\\n    {HASH}\n    # via x\n"


def test_our_own_lists_are_pinned_with_hashes(audit, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert audit.pins() == []


@pytest.mark.parametrize(
    "line",
    [
        "requests==2.32.0",
        f"requests>=2.32.0 {HASH}",
        f"requests {HASH}",
        "requests==2.32.0 --hash=md5:d41d8cd98f00b204e9800998ecf8427e",
        "requests @ https://example.com/requests.whl",
        "-e .",
        "-r other.txt",
        "--extra-index-url https://example.com/simple",
    ],
)
def test_line_without_version_or_hash_is_found(audit, tree, line):
    (tree / "requirements.txt").write_text(GOOD)
    (tree / "requirements-dev.txt").write_text(GOOD + line + "\n")
    (found,) = audit.pins()
    assert found == f"pins: requirements-dev.txt: {line.split(' --hash')[0]}"


def test_lists_that_went_apart_are_found(audit, tree):
    (tree / "requirements.txt").write_text(GOOD)
    (tree / "requirements-dev.txt").write_text(GOOD.replace("5.2.19", "5.2.20"))
    assert audit.pins() == ["pins: not in requirements-dev.txt: django==5.2.19"]


# --- packages ------------------------------------------------------------------------------
FAULT = {"id": "GHSA-made-up", "aliases": ["CVE-2026-0"], "fix_versions": ["5.2.20"]}


@pytest.fixture
def answer(audit, tree, monkeypatch) -> dict[str, Any]:
    """What pip-audit says of Django; tests change it."""
    (tree / "requirements-dev.txt").write_text(GOOD)
    row: dict[str, Any] = {"name": "django", "version": "5.2.19", "vulns": []}
    monkeypatch.setattr(audit, "pip_audit", lambda _: json.dumps({"dependencies": [row]}))
    return row


def test_known_fault_fails(audit, answer, capsys):
    assert audit.main(["packages"]) == 0
    answer["vulns"] = [FAULT]
    assert audit.main(["packages"]) == 1
    assert "django 5.2.19: GHSA-made-up, mended in 5.2.20" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["GHSA-made-up", "CVE-2026-0"])
def test_known_fault_is_ignored_for_a_reason_alone(audit, answer, monkeypatch, name):
    answer["vulns"] = [FAULT]
    monkeypatch.setattr(audit, "IGNORED", {name: "We do not call that function."})
    assert audit.packages() == []
    monkeypatch.setattr(audit, "IGNORED", {name: ""})
    assert audit.packages() == [f"packages: ignored for no reason: {name}"]


def test_reason_that_outlived_its_fault_is_found(audit, answer, monkeypatch):
    monkeypatch.setattr(audit, "IGNORED", {"CVE-2026-0": "We do not call that function."})
    assert audit.packages() == ["packages: ignored in vain: CVE-2026-0"]


def test_mirror_without_a_database_is_not_taken_for_good_news(audit, answer, capsys):
    """pip-audit calls that "No known vulnerabilities found"."""
    del answer["version"]
    assert audit.main(["packages"]) == 0
    assert "not looked at" in capsys.readouterr().out


def test_package_that_the_database_does_not_know_is_named(audit, answer, monkeypatch, capsys):
    rows = [answer, {"name": "ours", "skip_reason": "not found"}]
    monkeypatch.setattr(audit, "pip_audit", lambda _: json.dumps({"dependencies": rows}))
    assert audit.main(["packages"]) == 0
    assert "not in the database: ours" in capsys.readouterr().out


def test_without_a_network_it_says_so_in_a_line_and_goes_on(tree):
    (tree / "requirements-dev.txt").write_text(GOOD)
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    done = run("packages", **nowhere, NO_PROXY="", no_proxy="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "does not answer" in done.stdout


def test_list_that_cannot_be_read_is_not_taken_for_a_missing_network(tree):
    (tree / "requirements-dev.txt").write_text("django==5.2.19\n")
    done = run("packages")
    assert done.returncode == 1
    assert "does not contain a hash" in done.stderr


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit"), *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
