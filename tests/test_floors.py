"""A file imports its own floor or a lower one, never a higher one. An unplaced file fails."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from connections.exchanges import EXCHANGES

ROOT = Path(__file__).resolve().parent.parent

# Module -> its floor. A new file needs a floor, and with it a reason to exist.
FLOORS: dict[str, int] = {
    "connections.exchanges.problems": 0,
    "connections.exchanges.key_report": 0,
    "connections.exchanges.base": 0,
    "connections.exchanges.reading": 1,
    "connections.exchanges.pasting": 1,
    **{f"connections.exchanges.{code}": 1 for code in EXCHANGES},
    **{f"connections.exchanges.words.{code}": 1 for code in EXCHANGES},
    "connections.exchanges.bitget_rights": 1,
    "connections.exchanges.bybit_refusals": 1,
    "connections.exchanges.bybit_rights": 1,
    "connections.exchanges.gate_rights": 1,
    "connections.exchanges.htx_refusals": 1,
    "connections.exchanges.bingx_rights": 1,
    "connections.exchanges.pem": 1,
    "connections.exchanges.coinbase_key": 1,
    "connections.exchanges.echoes": 1,
    "connections.exchanges.holdings": 1,
    "connections.exchanges.inspection": 1,
    "connections.exchanges.lifetimes": 1,
    "connections.exchanges.pace": 1,
    "connections.exchanges.feeds": 1,
    "connections.exchanges.market_rows": 1,
    "connections.exchanges": 1,
    "connections.exchanges.client": 2,
    "connections.exchanges.markets": 2,
    "connections.vault_keys": 2,
    "connections.vault_boxes": 2,
    "connections.vault": 2,
    "connections.credentials": 3,
    "connections.events": 3,
    "connections.findings": 3,
    "connections.notices": 3,
    "connections.incidents": 3,
    "connections.hours": 3,
    "connections.models": 3,
    "strategies.ladder": 0,
    "strategies.pairs": 3,
    "strategies.models": 3,
    "connections.counting": 4,
    "connections.large_tables": 4,
    "connections.desk_figures": 4,
    "connections.desk_filters": 5,
    "connections.gate": 4,
    "connections.hooks": 4,
    "connections.balances": 4,
    "connections.keyring_files": 3,
    "connections.keyring_inventory": 4,
    "connections.keyring_rows": 4,
    "connections.keyring_words": 4,
    "connections.keyring": 4,
    "connections.services": 4,
    "connections.replacing": 4,
    "connections.results": 4,
    "connections.worker": 4,
    "connections.presentation": 4,
    "connections.egress": 4,
    "connections.lookup": 4,
    "connections.many": 4,
    "connections.rules": 4,
    "connections.rule_facts": 4,
    "connections.rule_sets": 4,
    "connections.rule_words": 4,
    "connections.finding_words": 4,
    "connections.audit_sql": 4,
    "connections.auditor": 4,
    "connections.hygiene": 4,
    "connections.history": 4,
    "connections.reports": 4,
    "connections.schedule": 4,
    "connections.sweep": 4,
    "connections.telling": 4,
    "connections.outages": 4,
    "connections.digests": 4,
    "connections.notice_making": 4,
    "connections.notice_words": 4,
    "connections.channels": 4,
    "connections.chats": 4,
    "connections.chat_services": 4,
    "connections.delivery_words": 4,
    "connections.mails": 4,
    "connections.outbound": 4,
    "connections.outbound_hosts": 4,
    "connections.sending": 4,
    "connections.diagnostics": 4,
    "connections.incident_asking": 4,
    "connections.incident_words": 4,
    "connections.incident_work": 4,
    "strategies.presets": 4,
    "strategies.limits": 4,
    "strategies.accounts": 4,
    "strategies.safety": 4,
    "strategies.services": 4,
    "strategies.suspending": 4,
    "strategies.tasks": 5,
    "strategies.admin": 7,
    "connections.desk": 5,
    "connections.balance_pages": 5,
    "strategies.pair_lists": 4,
    "connections.looks": 5,
    "connections.marks": 5,
    "connections.connection_filters": 5,
    "connections.connection_page": 6,
    "connections.connection_actions": 6,
    "connections.connection_admin": 7,
    "connections.pages": 5,
    "connections.forms": 5,
    "connections.tasks": 5,
    "connections.checks": 5,
    "connections.apps": 5,
    "strategies.apps": 5,
    "connections.templatetags.ui": 5,
    "connections.finding_forms": 5,
    "connections.finding_pages": 5,
    "connections.exchange_pages": 5,
    "connections.notice_forms": 5,
    "connections.notice_pages": 5,
    "connections.incident_forms": 5,
    "strategies.preview": 1,
    "strategies.presentation": 4,
    "strategies.forms": 5,
    "strategies.filling": 5,
    "strategies.form_pages": 5,
    "strategies.preview_pages": 5,
    "strategies.pages": 5,
    "strategies.templatetags.strategy_ui": 5,
    "strategies.views": 7,
    "strategies.form_views": 7,
    "strategies.urls": 8,
    "connections.views": 6,
    "connections.finding_views": 7,
    "connections.notice_views": 7,
    "connections.finding_urls": 8,
    "connections.exchange_views": 7,
    "connections.exchange_urls": 8,
    "connections.notice_urls": 8,
    "connections.hygiene_admin": 7,
    "connections.incident_admin": 7,
    "connections.management.commands.audit_keys": 6,
    "connections.key_views": 7,
    "connections.urls": 8,
    "connections.admin": 6,
    "connections.management.commands.keys": 6,
    "connections.management.commands.incident": 6,
    "connections.management.commands.inspect_keys": 6,
    "connections.management.commands.load_demo": 6,
}
PURE = 1  # floors up to this one: standard library alone
STANDARD_ONLY = {name for name, floor in FLOORS.items() if floor <= PURE}


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules() -> dict[str, Path]:
    found = {}
    for app in ("connections", "strategies"):
        for file in (ROOT / app).rglob("*.py"):
            empty = file.name == "__init__.py" and not file.read_text().strip()
            if "migrations" not in file.parts and not empty:
                found[module_of(file)] = file
    return found


def imports(module: str, file: Path) -> set[str]:
    """Every module named in an import, anywhere in the file, in full."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    named: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{above}.{base}".rstrip(".")
            named |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    return named


MODULES = modules()


def test_every_file_has_a_floor_and_every_floor_a_file():
    assert set(MODULES) == set(FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_file_imports_no_higher_floor(module):
    mine = FLOORS.get(module, 0)
    higher = {name for name in imports(module, MODULES[module]) if FLOORS.get(name, 0) > mine}
    # The worker's half is fetched by its one task when it runs, so that the web never loads it.
    assert not higher


@pytest.mark.parametrize("module", sorted(STANDARD_ONLY))
def test_what_is_known_of_exchanges_needs_no_framework(module):
    foreign = {"django", "ccxt", "aiohttp", "celery", "kombu"}
    assert not {name.split(".")[0] for name in imports(module, MODULES[module])} & foreign


def test_ccxt_is_imported_in_two_files():
    users = {
        module
        for module, file in MODULES.items()
        if any(name.split(".")[0] == "ccxt" for name in imports(module, file))
    }
    assert users == {"connections.exchanges.client", "connections.exchanges.markets"}


def test_the_cache_is_read_by_pages_alone():
    """It holds pickles: whoever may write it, the web does, runs code in whatever reads it."""
    users = {
        module
        for module, file in MODULES.items()
        if any(name.startswith("django.core.cache") for name in imports(module, file))
    }
    pages = {"connections.exchange_pages", "backfuture.accounts.forms", "backfuture.accounts.cache"}
    assert users <= pages


def test_connections_never_imports_strategies_nor_the_roof():
    for module, file in MODULES.items():
        roots = {name.split(".")[0] for name in imports(module, file)}
        if module.startswith("connections") and not module.endswith("load_demo"):
            assert not roots & {"strategies", "backfuture"}, module


def test_only_the_vault_opens_and_only_the_worker_asks_it_to():
    users = {module for module, file in MODULES.items() if "vault.opened" in file.read_text()}
    assert users <= {"connections.worker", "connections.keyring_rows", "connections.sending"}
    assert "connections.worker" in users
