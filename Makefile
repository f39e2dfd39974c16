# Needs Python 3.11 or newer and make. `make help` lists what there is.

PYTHON ?= python3
BIND ?= 127.0.0.1:8000
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input install -qq --no-compile --require-hashes
# uv installs ten times as fast. Where it cannot (no build for this machine, an index that pip alone
# knows), pip does.
UV := $(VENV)/uv.txt
INSTALL = sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt >$(UV) && $(PIP) -r $(UV) && \
	$(PY) -m uv pip install --quiet --python $(PY) --require-hashes $(1) || $(PIP) $(1)
MANAGE := $(PY) manage.py
COMPILE := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make requirements"

DEMO := var/demo
# What the demonstration must not take from your shell: it has keys and data of its own.
OURS := SECRET_KEY FERNET_KEYS FINGERPRINT_PEPPER VAULT_PUBLIC_KEYS VAULT_PRIVATE_KEYS_FILE \
	VAULT_RECOVERY_KEY REQUIRE_MFA DATABASE_URL CACHE_URL CELERY_BROKER_URL EMAIL_URL EXCHANGE_PROXY_URL ALLOWED_HOSTS DEBUG

# Tests to which it makes no difference which database and broker there are: `make test` has run
# them.
NO_SERVICE := --ignore=tests/simulator --ignore-glob="tests/test_sdk_*" \
	$(foreach name,inspection mutations pasting simulator binance binance_secrets bitget \
	coinbase_key gate words floors audit hostile_input account_pages account_mails rule_words outbound \
	who_may supervisor pages channels notice_pages leaks hygiene_admin commands schedule first_steps \
	one_time_codes findings exchange_pages keyring_files checks environment preview ladder markets funds \
	strategy_pages replacing_pages roles desk desk_secrets desk_looks diagnostics view_as step_up \
	ways_in dangerous_posts frozen_keys balances vault keys notice_making incident_pages audit_keys \
	tampering digests sending desk_lists admin incident_killed keyring_killed telling \
	history hygiene outages own_data,--ignore=tests/test_$(name).py)

# One process for each core (JOBS=0: one after the other, for a debugger). Tests that start a
# whole site share it within their file, and have the machine to themselves.
JOBS ?= auto
PYTEST := $(PY) -m pytest
SITES := tests/test_headers.py tests/test_running.py
SPREAD := -n $(JOBS) --dist worksteal $(SITES:%=--ignore=%)
IN_A_BROWSER = $(shell grep -l "^pytestmark.*IN_A_BROWSER" tests/test_*.py)
SERVICES := DATABASE_URL="$${DATABASE_URL:-postgres://postgres@127.0.0.1:5432/postgres}" \
	CELERY_BROKER_URL="$${CELERY_BROKER_URL:-redis://127.0.0.1:6379/5}"

.DEFAULT_GOAL := help
.PHONY: help run demo test test-services test-browser test-faults test-hostile lint types audit requirements \
	bench-start bench-inspect bench-admin bench-audit bench-pairs bench-sweep \
	clean venv packages dev-packages

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

run: packages ## install, prepare and run everything at BIND=127.0.0.1:8000
	@$(PY) -m backfuture.supervisor --check --bind $(BIND)
	@test -f "$${ENV_FILE:-.env}" || $(MANAGE) keys create --env-file "$${ENV_FILE:-.env}" \
		--private-file "$${VAR_DIR:-var}/keys/private-keys.json"
	@$(MANAGE) prepare
	@$(PY) -m backfuture.supervisor --bind $(BIND)

demo: packages ## the same in var/demo, filled, with simulated exchanges
	@set -eu; unset $(OURS); \
	port=$$($(PY) -c "import socket as s; print(s.create_server(('127.0.0.1', 0)).getsockname()[1])"); \
	export VAR_DIR="$$PWD/$(DEMO)" ENV_FILE="$$PWD/$(DEMO)/.env" SITE_URL=http://$(BIND); \
	export EXCHANGE_GATEWAY_URL=http://127.0.0.1:$$port ALLOW_EXCHANGE_GATEWAY=1; \
	export SERVER_IPS=203.0.113.7,203.0.113.8; \
	$(PY) -m backfuture.supervisor --check --bind $(BIND); \
	rm -rf $(DEMO)/db.sqlite3* $(DEMO)/broker $(DEMO)/cache; \
	test -f $(DEMO)/.env || $(MANAGE) keys create --env-file $(DEMO)/.env \
		--private-file $(DEMO)/keys/private-keys.json; \
	$(PY) -m tests.simulator keys --json > $(DEMO)/simulator-keys.json; \
	$(MANAGE) prepare; \
	$(MANAGE) load_demo --keys $(DEMO)/simulator-keys.json; \
	$(PY) -m backfuture.supervisor --bind $(BIND) --with-simulator $$port

test: dev-packages ## the tests that need nothing but Python
	@$(PYTEST) $(SPREAD) -m "not services and not browser and not faults"
	@$(PYTEST) -n $(JOBS) --dist loadfile $(SITES)

test-services: dev-packages ## all but the browser tests on PostgreSQL and Redis
	@$(SERVICES) $(PYTEST) $(SPREAD) -m "not browser and not faults" $(NO_SERVICE)

test-browser: dev-packages ## the tests that drive Chromium
	@$(PYTEST) -n $(JOBS) --dist loadfile -m browser $(IN_A_BROWSER) $(BROWSER)

test-faults: dev-packages ## what breaks in life: kills, full disks, services that go away
	@$(PY) -m pytest -m faults -s tests/faults $(FAULTS)

test-hostile: dev-packages ## 10,000 hostile values in every form and address, where `make test` sends 2,500
	@HOSTILE_VALUES=10000 $(PYTEST) $(SPREAD) tests/test_hostile_input.py

lint: dev-packages ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: dev-packages ## mypy, strict
	@$(PY) -m mypy

audit: dev-packages ## known faults in packages, secrets committed by mistake
	@$(PY) .ci/audit

requirements: dev-packages ## pin requirements*.in with hashes
	@$(COMPILE) requirements.in --output-file requirements.txt
	@$(COMPILE) requirements-dev.in --output-file requirements-dev.txt

bench-start: dev-packages ## start-up time and memory, beside a bare Django project
	@$(PY) tests/bench_start.py

bench-inspect: dev-packages ## keys a second, beside plain ccxt and bare aiohttp
	@$(PY) -m tests.bench_inspect

bench-audit: dev-packages ## an audit of 10 k, 100 k and 1 M connections (PostgreSQL, SQLite)
	@$(SERVICES) $(PY) -m tests.bench_audit

bench-admin: dev-packages ## the support desk over 1 M connections and 10 M tests
	@$(SERVICES) $(PY) -m tests.bench_admin

bench-pairs: dev-packages ## the search for pairs among 5,000 (PostgreSQL, SQLite)
	@$(SERVICES) $(PY) -m tests.bench_pairs

bench-sweep: dev-packages ## 10,000 scheduled tests, and a user's own beside them
	@$(SERVICES) $(PY) -m tests.bench_sweep

clean: ## remove the virtual environment and caches; var/ and .env stay
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@$(PY) -c "" 2>/dev/null || { \
	for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 ""; do \
		test -n "$$python" || { echo "BackFuture needs Python 3.11 or newer and found none." \
			"Name one: make run PYTHON=/path/to/python3.12" >&2; exit 1; }; \
		$$python -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && break; \
	done; \
	echo "Making $(VENV) with $$($$python --version) ..."; \
	$$python -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "$$python cannot make a virtual environment; on Debian: apt install python3-venv" >&2; \
		exit 1; }; }

# The copies in the environment say what is installed there.
packages: venv
	@cmp -s requirements.txt $(VENV)/requirements.txt || { \
		echo "Installing requirements.txt ..."; \
		{ $(call INSTALL,-r requirements.txt); } && cp requirements.txt $(VENV)/; }

dev-packages: venv
	@cmp -s requirements-dev.txt $(VENV)/requirements-dev.txt || { \
		echo "Installing requirements-dev.txt ..."; \
		{ $(call INSTALL,-r requirements-dev.txt); } && cp requirements.txt requirements-dev.txt $(VENV)/; }
