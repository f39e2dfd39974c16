"""The statements of an audit, for SQLite and PostgreSQL alike. How they go together: auditor.py.

First it is worked out, in a table of its own that nobody else sees, what is to change of the
findings; then it is done. Where nothing is to change the plan is empty and nothing is written.
"""
# ruff: noqa: S608  names of our own tables, columns and rules are put in, nothing else

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db.models import QuerySet

from . import rule_facts, rule_sets
from .models import Connection, Credential, Finding, FindingChange, Thresholds
from .rules import READ_FROM_THE_KEY, SEEN_BY_TESTS

Statement = tuple[str, list[Any]]

CONNECTIONS = Connection._meta.db_table
CREDENTIALS = Credential._meta.db_table
FINDINGS = Finding._meta.db_table
CHANGES = FindingChange._meta.db_table

ONE_FULL_AUDIT_AT_A_TIME = "SELECT pg_advisory_xact_lock(64201)"  # the number is this lock's name
DROP_PLAN = "DROP TABLE audit_plan"
COUNT_PLAN = "SELECT was, state, COUNT(*) FROM audit_plan GROUP BY was, state"

# A full audit keeps nothing still while it looks. What was tested since then, or is in somebody's
# hands at this moment, is left to the audit that comes after that; the rest is kept still.
LEAVE_OUT_WHAT_MOVES = f"""
WITH still AS MATERIALIZED (
    SELECT c.id FROM {CONNECTIONS} c
    WHERE EXISTS (
        SELECT 1 FROM audit_plan p
        WHERE p.connection_id = c.id AND p.last_test IS NOT DISTINCT FROM c.tested_at
    )
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
DELETE FROM audit_plan p WHERE NOT EXISTS (SELECT 1 FROM still WHERE still.id = p.connection_id)
"""
# Nor what another audit has done already. From here on none can.
LEAVE_OUT_WHAT_IS_DONE = f"""
DELETE FROM audit_plan p USING {FINDINGS} f
WHERE f.connection_id = p.connection_id AND f.rule = p.rule
    AND (p.was IS NULL OR p.was_since <> f.state_since OR p.was_severity <> f.severity)
"""

SAME_KEY = f"""
SELECT
    known.connection_id,
    MIN(known.no_date) AS no_date,
    MIN(known.last_test) AS last_test,
    COUNT(DISTINCT CASE WHEN theirs.owner_id = known.owned_by THEN theirs.id END) AS same_own,
    COUNT(DISTINCT CASE WHEN theirs.owner_id <> known.owned_by THEN theirs.id END) AS same_elsewhere
FROM known
JOIN {CREDENTIALS} mine ON mine.connection_id = known.connection_id AND mine.state = 'active'
JOIN {CREDENTIALS} other ON other.fingerprint = mine.fingerprint
    AND other.connection_id <> mine.connection_id AND other.state IN ('active', 'pending')
JOIN {CONNECTIONS} theirs ON theirs.id = other.connection_id
GROUP BY known.connection_id
"""

LAPSED = "(f.state = 'snoozed' AND f.snoozed_until <= %s)"
LOUDER = "(f.state IN ('acknowledged', 'snoozed') AND f.severity < found.severity)"
# No judgement is possible at present: what was found stands.
IN_DOUBT = "(f.rule IN ({read}) AND known.untold OR f.rule IN ({tests}) AND known.exchange_paused)"
IN_DOUBT = IN_DOUBT.format(
    read=", ".join(f"'{rule}'" for rule in READ_FROM_THE_KEY),
    tests=", ".join(f"'{rule}'" for rule in SEEN_BY_TESTS),
)

PLAN = f"""
INSERT INTO audit_plan
WITH {{moments}}, {{facts}}, {{running}}, {{delisted}},
known AS MATERIALIZED (
    SELECT
        facts.*,
        COALESCE(running.strategies, 0) AS strategies,
        COALESCE(running.spot, 0) AS spot,
        COALESCE(running.futures, 0) AS futures,
        COALESCE(delisted.gone, 0) AS gone,
        delisted.gone_first,
        delisted.gone_last
    FROM facts LEFT JOIN running ON running.connection_id = facts.connection_id
    LEFT JOIN delisted ON delisted.connection_id = facts.connection_id
),
same AS ({SAME_KEY}),
found AS MATERIALIZED ({{found}})
SELECT
    f.id, found.connection_id, found.rule, found.severity, found.until, found.amount, found.detail,
    CASE WHEN f.id IS NULL OR f.state = 'resolved' OR {LOUDER} OR {LAPSED} THEN 'open'
        ELSE f.state END,
    f.state, f.state_since, f.severity, found.last_test
FROM found LEFT JOIN {FINDINGS} f ON f.connection_id = found.connection_id AND f.rule = found.rule
WHERE f.id IS NULL OR f.state = 'resolved' OR {LAPSED}
    OR f.severity <> found.severity OR f.amount <> found.amount OR f.detail <> found.detail
    OR f.until <> found.until OR (f.until IS NULL) <> (found.until IS NULL)
UNION ALL
SELECT
    f.id, f.connection_id, f.rule, f.severity, f.until, f.amount, f.detail,
    CASE WHEN {IN_DOUBT} THEN 'open' ELSE 'resolved' END,
    f.state, f.state_since, f.severity, known.last_test
FROM {FINDINGS} f JOIN known ON known.connection_id = f.connection_id
LEFT JOIN found ON found.connection_id = f.connection_id AND found.rule = f.rule
WHERE f.state <> 'resolved' AND found.rule IS NULL AND ({LAPSED} OR NOT {IN_DOUBT})
"""

# Somebody who acted on a finding since it was looked at goes first, also who snoozed it once more.
CHANGE = f"""
UPDATE {FINDINGS} SET
    severity = p.severity, until = p.until, amount = p.amount, detail = p.detail, state = p.state,
    state_since = CASE WHEN p.state = p.was THEN {FINDINGS}.state_since ELSE %s END,
    snoozed_until = CASE WHEN p.state = p.was THEN {FINDINGS}.snoozed_until END,
    regressions = {FINDINGS}.regressions + CASE WHEN p.was = 'resolved' THEN 1 ELSE 0 END
FROM audit_plan p
WHERE {FINDINGS}.id = p.finding_id AND {FINDINGS}.state = p.was
    AND {FINDINGS}.state_since = p.was_since
"""

OPEN = f"""
INSERT INTO {FINDINGS} (connection_id, rule, severity, until, amount, detail, state, first_seen_at,
    state_since, regressions)
SELECT connection_id, rule, severity, until, amount, detail, state, %s, %s, 0
FROM audit_plan WHERE finding_id IS NULL
"""

# Only of what was done, see above. Facts may change without a word, states and severities not.
WRITE_DOWN = f"""
INSERT INTO {CHANGES} (finding_id, at, state, severity, why)
SELECT f.id, %s, p.state, p.severity, ''
FROM audit_plan p JOIN {FINDINGS} f ON f.connection_id = p.connection_id AND f.rule = p.rule
WHERE f.state = p.state AND f.severity = p.severity
    AND (p.state = p.was OR f.state_since = %s)
    AND (p.was IS NULL OR p.state <> p.was OR p.severity <> p.was_severity)
"""


def create_plan() -> str:
    """What begins with `was` is empty for a finding that is new; `last_test` is when its connection
    was tested last, as far as this audit knows."""
    kinds = {field.attname: field.db_type(database) for field in Finding._meta.concrete_fields}
    columns = {
        "finding_id": FindingChange._meta.get_field("finding").db_type(database),
        **{name: kinds[name] for name in ("connection_id", "rule", "severity", "until", "amount")},
        **{name: kinds[name] for name in ("detail", "state")},
        "was": kinds["state"],
        "was_since": kinds["state_since"],
        "was_severity": kinds["severity"],
        "last_test": kinds["until"],
    }
    written = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"CREATE TEMPORARY TABLE audit_plan ({written})"


def plan(*, now: datetime, limits: Thresholds, connections: Collection[UUID] | None) -> Statement:
    """All rules, and what they find beside the findings there are.

    New danger must be seen: what grew more severe is open again, acknowledged, snoozed or not, and
    so is what was snoozed until now. Only what is suppressed stays so.
    """
    times = rule_sets.moments(now, limits)
    moments = f"moments ({', '.join(times)}) AS (SELECT {', '.join(['%s'] * len(times))})"
    facts, facts_params = _named("facts", *rule_facts.facts(connections))
    running, running_params = _named("running", *rule_facts.running(connections))
    delisted, delisted_params = _named("delisted", *rule_facts.delisted(connections))
    found = "\nUNION ALL\n".join(_found(rule) for rule in rule_sets.RULE_SETS)
    sql = PLAN.format(moments=moments, facts=facts, running=running, delisted=delisted, found=found)
    params = [*map(moment, times.values()), *facts_params, *running_params, *delisted_params]
    return sql, params + [moment(now)] * sql.count(LAPSED)


def moment(now: datetime) -> Any:
    return database.ops.adapt_datetimefield_value(now)


def _named(name: str, columns: Iterable[str], rows: QuerySet[Any]) -> Statement:
    sql, params = rows.query.get_compiler(connection=database).as_sql()
    return f"{name} ({', '.join(columns)}) AS ({sql})", list(params)


def _found(rule: rule_sets.RuleSet) -> str:
    return (
        f"SELECT connection_id, '{rule.code}' AS rule, {rule.severity} AS severity, "
        f"{rule.until} AS until, {rule.amount} AS amount, {rule.detail} AS detail, last_test "
        f"FROM {rule.source} CROSS JOIN moments WHERE {rule.where}"
    )
