"""Each rule at the moment it begins to hold, on real rows, through the auditor."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from backfuture.accounts.models import User
from connections.auditor import audit
from connections.exchanges import EXCHANGES
from connections.exchanges.lifetimes import LIFETIMES
from connections.models import Exchange, Finding, Thresholds
from connections.rule_sets import RULE_SETS
from connections.rules import CRITICAL, HIGH, INFO, READ_FROM_THE_KEY, RULES, SEEN_BY_TESTS, WARNING
from strategies.models import Pair, StrategyConfig
from tests.many import NOW, SECOND, ago, ahead, change, found, keyed, may, with_key

DAY = timedelta(days=1)


def lasting(days: float, *, exchange: str) -> Any:
    """A key without IP restriction, made so many days ago and not tested since."""
    return {
        "exchange": exchange,
        "ip_restricted": False,
        "key_created_at": ago(days=days),
        "last_ok_at": ago(days=days),
    }


def resting(days: float, *, exchange: str, **more: Any) -> Any:
    """The same, that traded; nothing has used it for so many days."""
    key = {"created_at": ago(days=days)}
    usual = {"exchange": exchange, "ip_restricted": False, "last_ok_at": ago(days=days)}
    return {**usual, "key": key, **more}


# Rule, its severity (None: it finds nothing), and what is said of the connection.
CASES: list[tuple[str, int | None, dict[str, Any]]] = [
    ("withdraw_enabled", CRITICAL, {"permissions": may(withdraw=True)}),
    ("withdraw_enabled", CRITICAL, {"status": "refused"}),
    ("withdraw_enabled", CRITICAL, {"permissions": may(withdraw=True), "paused_at": NOW}),
    ("withdraw_enabled", None, {"permissions": may(withdraw=False)}),
    ("withdraw_enabled", None, {"permissions": may(withdraw=None)}),
    ("withdraw_enabled", None, {"permissions": {}}),
    ("transfer_enabled", HIGH, {"permissions": may(transfer=True)}),
    ("transfer_enabled", None, {"permissions": may(transfer=False)}),
    ("transfer_enabled", None, {"permissions": may(transfer=None)}),
    # OKX gives it with the right to trade and not otherwise.
    ("transfer_enabled", INFO, {"exchange": "okx", "permissions": may(transfer=True)}),
    (
        "transfer_enabled",
        HIGH,
        {"exchange": "okx", "permissions": may(transfer=True, spot_trade=False)},
    ),
    ("no_ip_restriction", WARNING, {"ip_restricted": False}),
    ("no_ip_restriction", None, {"ip_restricted": True}),
    ("no_ip_restriction", None, {"ip_restricted": None}),
    ("ip_restriction_unknown", INFO, {"ip_restricted": None}),
    ("ip_restriction_unknown", None, {"ip_restricted": False}),
    # Nothing is known of a key that was never read.
    ("ip_restriction_unknown", None, {"ip_restricted": None, "permissions": {}, "status": "new"}),
    ("unused", WARNING, {"key": {"created_at": ago(days=45)}}),
    ("unused", None, {"key": {"created_at": ago(days=45) + SECOND}}),
    ("unused", WARNING, {"key": {"created_at": ago(days=99), "last_used_at": ago(days=45)}}),
    ("unused", None, {"key": {"created_at": ago(days=99), "last_used_at": ago(days=44)}}),
    ("unused", None, {"key": {"created_at": ago(days=99)}, "strategies": ["spot"]}),
    # Made long ago, but entered here only lately.
    ("unused", None, {"key_created_at": ago(days=400)}),
    ("old", WARNING, {"key_created_at": ago(days=90)}),
    ("old", None, {"key_created_at": ago(days=90) + SECOND}),
    ("old", WARNING, {"key_created_at": ago(days=180) + SECOND}),
    ("old", HIGH, {"key_created_at": ago(days=180)}),
    ("old", WARNING, {"key": {"created_at": ago(days=90)}}),
    ("old", None, {"key": {"created_at": ago(days=90)}, "key_created_at": ago(days=80)}),
    ("expiring", None, {"key_expires_at": ahead(days=14) + SECOND}),
    ("expiring", WARNING, {"key_expires_at": ahead(days=14)}),
    ("expiring", WARNING, {"key_expires_at": ahead(days=7) + SECOND}),
    ("expiring", HIGH, {"key_expires_at": ahead(days=7)}),
    ("expiring", HIGH, {"key_expires_at": ahead(days=1) + SECOND}),
    ("expiring", CRITICAL, {"key_expires_at": ahead(days=1)}),
    ("expiring", CRITICAL, {"key_expires_at": ago(days=3)}),
    ("expiring", CRITICAL, {"key_expires_at": ahead(hours=1), "paused_at": NOW}),
    ("expiring", None, lasting(75.9, exchange="mexc")),
    ("expiring", WARNING, lasting(76, exchange="mexc")),
    ("expiring", HIGH, lasting(83, exchange="gate")),
    ("expiring", CRITICAL, lasting(89, exchange="gate")),
    ("expiring", CRITICAL, lasting(95, exchange="gate")),
    # Its date comes before our count.
    ("expiring", None, {**lasting(89, exchange="gate"), "key_expires_at": ahead(days=60)}),
    ("expiring", None, {**lasting(89, exchange="gate"), "ip_restricted": True}),
    ("expiring", None, {**lasting(89, exchange="gate"), "ip_restricted": None}),
    # It passed a test after its computed end, so that was not its end.
    ("expiring", None, {**lasting(91, exchange="gate"), "last_ok_at": ago(days=1)}),
    ("expiring", CRITICAL, {**lasting(91, exchange="gate"), "last_ok_at": ago(days=1) - SECOND}),
    ("expiring", None, lasting(89, exchange="bybit")),  # tells its dates
    ("dies_of_inactivity", None, resting(16 - 0.01, exchange="kucoin")),
    ("dies_of_inactivity", WARNING, resting(16, exchange="kucoin")),
    ("dies_of_inactivity", HIGH, resting(23, exchange="kucoin")),
    ("dies_of_inactivity", CRITICAL, resting(29, exchange="kucoin")),
    ("dies_of_inactivity", CRITICAL, resting(40, exchange="kucoin")),
    ("dies_of_inactivity", None, resting(2 - 0.01, exchange="okx")),  # read every day
    ("dies_of_inactivity", WARNING, resting(2, exchange="okx")),
    ("dies_of_inactivity", HIGH, resting(7, exchange="bingx", paused_at=ago(days=7))),
    ("dies_of_inactivity", CRITICAL, resting(29, exchange="binance")),
    ("dies_of_inactivity", WARNING, resting(76, exchange="htx")),
    ("dies_of_inactivity", None, resting(76, exchange="htx", key_expires_at=ahead(days=14))),
    ("dies_of_inactivity", HIGH, resting(23, exchange="kucoin", key_expires_at=ahead(days=99))),
    ("dies_of_inactivity", None, resting(29, exchange="kucoin", ip_restricted=True)),
    ("dies_of_inactivity", None, resting(29, exchange="kucoin", ip_restricted=None)),
    (
        "dies_of_inactivity",
        None,
        resting(29, exchange="kucoin", permissions=may(spot_trade=False)),
    ),
    ("dies_of_inactivity", None, resting(29, exchange="kucoin", permissions=may(spot_trade=None))),
    ("dies_of_inactivity", None, resting(89, exchange="mexc")),
    ("several_strategies", None, {"strategies": ["spot"]}),
    ("several_strategies", INFO, {"strategies": ["spot", "spot"]}),
    ("several_strategies", WARNING, {"strategies": ["spot", "spot", "spot"]}),
    ("excess_permissions", None, {"permissions": may(futures_trade=True)}),  # no strategy yet
    (
        "excess_permissions",
        WARNING,
        {"permissions": may(futures_trade=True), "strategies": ["spot"]},
    ),
    (
        "excess_permissions",
        None,
        {"permissions": may(futures_trade=True), "strategies": ["spot", "futures"]},
    ),
    ("excess_permissions", None, {"permissions": may(), "strategies": ["spot"]}),
    ("excess_permissions", None, {"permissions": may(futures_trade=None), "strategies": ["spot"]}),
    ("excess_permissions", WARNING, {"permissions": may(margin=True), "strategies": ["spot"]}),
    *(
        (
            "excess_permissions",
            None,
            {
                "exchange": code,
                "permissions": may(futures_trade=True, margin=margin),
                "strategies": ["spot"],
            },
        )
        # One tick at these: it cannot be made less.
        for code, margin in (("okx", True), ("htx", True), ("coinbase", False), ("bitget", False))
    ),
    (
        "excess_permissions",
        None,
        {"exchange": "bingx", "permissions": may(margin=True), "strategies": ["spot"]},
    ),
    (
        "excess_permissions",
        WARNING,
        {"exchange": "bingx", "permissions": may(margin=True), "strategies": ["futures"]},
    ),
    ("failing", HIGH, {"failing_since": ago(hours=24), "problem": "ip_not_allowed"}),
    ("failing", None, {"failing_since": ago(hours=24) + SECOND}),
    ("failing", None, {"failing_since": ago(hours=24), "paused_at": NOW}),
    ("failing", None, {"failing_since": None}),
    ("failing", None, {"failing_since": ago(hours=99), "status": "refused"}),  # worse is said
    ("never_tested", WARNING, {"created_at": ago(hours=24), "tested_at": None}),
    ("never_tested", None, {"created_at": ago(hours=24) + SECOND, "tested_at": None}),
    ("never_tested", None, {"created_at": ago(hours=24), "tested_at": NOW}),
    ("never_tested", None, {"created_at": ago(hours=24), "tested_at": None, "paused_at": NOW}),
    ("delisted_pair", HIGH, {"strategies": ["spot"], "pairs": {"LUNA/USDT": False}}),
    ("delisted_pair", None, {"strategies": ["spot"], "pairs": {"BTC/USDT": True}}),
    ("delisted_pair", None, {"strategies": ["spot"]}),
    (
        "delisted_pair",
        HIGH,
        {"strategies": ["spot"], "pairs": {"LUNA/USDT": False}, "paused_at": NOW},
    ),
]


@pytest.mark.parametrize(("rule", "severity", "fields"), CASES)
def test_rule_begins_where_it_says(trader: User, rule, severity, fields):
    finding = found(keyed(trader, **fields)).get(rule)
    assert (finding and finding.severity) == severity
    if severity:
        assert severity in RULES[rule].severities


def test_every_severity_of_every_rule_is_tried():
    tried = {(rule, severity) for rule, severity, _ in CASES if severity}
    tried |= {("same_key_own", WARNING), ("same_key_elsewhere", HIGH)}  # below
    assert tried == {(rule.code, each) for rule in RULES.values() for each in rule.severities}


def test_rules_sets_and_exchanges_go_together():
    assert [rule.code for rule in RULE_SETS] == list(RULES)
    assert set(READ_FROM_THE_KEY) | set(SEEN_BY_TESTS) < set(RULES)
    assert set(LIFETIMES) == set(EXCHANGES)
    assert all(len(code) <= Finding._meta.get_field("rule").max_length for code in RULES)


def test_a_good_key_is_found_nothing_of(trader: User):
    assert found(keyed(trader, strategies=["spot"])) == {}


@pytest.mark.parametrize(
    ("rule", "fields", "until", "amount", "detail"),
    [
        ("unused", {"key": {"created_at": ago(days=50)}}, ago(days=50), 0, ""),
        ("old", {"key_created_at": ago(days=100)}, ago(days=100), 0, ""),
        ("old", {"key": {"created_at": ago(days=100)}}, ago(days=100), 0, "entered"),
        ("expiring", {"key_expires_at": ahead(days=3)}, ahead(days=3), 0, ""),
        ("expiring", lasting(80, exchange="mexc"), ahead(days=10), 0, "computed"),
        (
            "dies_of_inactivity",
            resting(10, exchange="okx", strategies=["spot", "futures"]),
            ahead(days=4),
            2,
            "",
        ),
        ("several_strategies", {"strategies": ["spot"] * 4}, None, 4, ""),
        (
            "excess_permissions",
            {"permissions": may(futures_trade=True, margin=True), "strategies": ["spot"]},
            None,
            0,
            "futures_trade,margin",
        ),
        (
            "failing",
            {"failing_since": ago(days=2), "problem": "bad_secret"},
            ago(days=2),
            0,
            "bad_secret",
        ),
        ("never_tested", {"created_at": ago(days=2), "tested_at": None}, ago(days=2), 0, ""),
        ("withdraw_enabled", {"permissions": may(withdraw=True)}, None, 0, ""),
        # Two strategies share them: each counts once, the first and the last are named.
        (
            "delisted_pair",
            {
                "strategies": ["spot", "spot"],
                "pairs": {"UST/USDT": False, "ANC/USDT": False, "X/USDT": True, "L/USDT": False},
            },
            None,
            3,
            "ANC/USDT,UST/USDT",
        ),
        (
            "delisted_pair",
            {"strategies": ["spot"], "pairs": {f"{x * 30}/{x * 20}": False for x in "AB"}},
            None,
            2,
            f"{'A' * 30}/{'A' * 20}",
        ),
    ],
)
def test_finding_notes_what_its_words_need(trader: User, rule, fields, until, amount, detail):
    finding = found(keyed(trader, **fields))[rule]
    assert (finding.until, finding.amount, finding.detail) == (until, amount, detail)


class TestUse:
    """A key without IP restriction is used by whatever opened it last."""

    @pytest.mark.parametrize(
        "used",
        [
            {"last_ok_at": ago(hours=1)},
            {"key": {"created_at": ago(days=29), "last_used_at": ago(hours=1)}},
            {"key": {"created_at": ago(hours=1)}},
        ],
    )
    def test_any_use_starts_the_count_anew(self, trader: User, used):
        said = {**resting(29, exchange="kucoin"), **used}
        assert "dies_of_inactivity" not in found(keyed(trader, **said))

    def test_a_key_that_never_passed_counts_from_its_entry(self, trader: User):
        said = {**resting(29, exchange="kucoin"), "last_ok_at": None}
        finding = found(keyed(trader, **said))["dies_of_inactivity"]
        assert finding.until == ahead(days=1)


class TestSameKey:
    def test_two_of_one_owner(self, trader: User):
        one, other = (keyed(trader, key={"fingerprint": "f" * 64}) for _ in range(2))
        third = keyed(trader, key={"fingerprint": "f" * 64})
        for connection in (one, other, third):
            finding = found(connection)["same_key_own"]
            assert (finding.severity, finding.amount) == (WARNING, 2)
            assert "same_key_elsewhere" not in found(connection)

    def test_two_owners(self, trader: User, stranger: User):
        mine = keyed(trader, key={"fingerprint": "f" * 64})
        for _ in range(2):
            keyed(stranger, key={"fingerprint": "f" * 64}, name=f"Secret name {_}")
        finding = found(mine)["same_key_elsewhere"]
        assert finding.severity == HIGH
        # Not even how many there are.
        assert (finding.until, finding.amount, finding.detail) == (None, 0, "")
        assert "same_key_own" not in found(mine)

    def test_a_new_key_that_is_not_in_use_yet_counts(self, trader: User, stranger: User):
        mine = keyed(trader, key={"fingerprint": "f" * 64})
        with_key(keyed(stranger), fingerprint="f" * 64, state="pending")
        assert "same_key_elsewhere" in found(mine)

    def test_a_destroyed_key_does_not_count(self, trader: User):
        mine = keyed(trader, key={"fingerprint": "f" * 64})
        with_key(keyed(trader), fingerprint="f" * 64, state="retired")
        with_key(mine, fingerprint="f" * 64, state="retired")
        assert found(mine) == {}

    def test_old_and_new_key_of_another_are_one_connection(self, trader: User):
        mine = keyed(trader, key={"fingerprint": "f" * 64})
        with_key(
            keyed(trader, key={"fingerprint": "f" * 64}), fingerprint="f" * 64, state="pending"
        )
        assert found(mine)["same_key_own"].amount == 1


class TestStrategies:
    def test_those_switched_off_do_not_count(self, trader: User):
        mine = keyed(trader, strategies=["spot", "spot"], key={"created_at": ago(days=60)})
        assert "several_strategies" in found(mine)
        StrategyConfig.objects.update(enabled=False)
        assert set(found(mine)) == {"unused"}

    def test_pair_of_a_strategy_that_is_off_or_elsewhere_is_no_finding(self, trader: User):
        mine, other = (
            keyed(trader, strategies=["spot"], pairs={"LUNA/USDT": False}) for _ in range(2)
        )
        assert "delisted_pair" in found(mine)
        mine.strategies.update(enabled=False)
        assert "delisted_pair" not in found(mine)
        assert "delisted_pair" in found(other)

    def test_pair_that_is_traded_again_resolves_its_finding(self, trader: User):
        mine = keyed(trader, strategies=["spot"], pairs={"LUNA/USDT": False})
        assert "delisted_pair" in found(mine)
        Pair.objects.update(active=True)
        assert "delisted_pair" not in found(mine)

    def test_each_right_that_no_strategy_needs_is_named(self, trader: User):
        mine = keyed(trader, permissions=may(margin=True), strategies=["futures"])
        assert found(mine)["excess_permissions"].detail == "spot_trade,margin"


def test_without_a_key_in_use_nothing_is_said_of_a_key(trader: User):
    said = {"key_created_at": ago(days=400), **resting(400, exchange="kucoin")}
    mine = keyed(trader, **said)
    assert {"old", "unused", "dies_of_inactivity"} <= set(found(mine))
    mine.credentials.update(state="retired")
    assert set(found(mine)) == {"no_ip_restriction"}


class TestThresholds:
    @pytest.mark.parametrize(
        ("limit", "rule", "fields"),
        [
            ({"unused_days": 10}, "unused", {"key": {"created_at": ago(days=10)}}),
            ({"old_days": 10}, "old", {"key_created_at": ago(days=10)}),
            ({"old_days": 10, "very_old_days": 20}, "old", {"key_created_at": ago(days=20)}),
            ({"expiry_first_days": 40}, "expiring", {"key_expires_at": ahead(days=40)}),
            ({"expiry_first_days": 28}, "dies_of_inactivity", resting(2, exchange="kucoin")),
            ({"failing_hours": 2}, "failing", {"failing_since": ago(hours=2)}),
            (
                {"never_tested_hours": 2},
                "never_tested",
                {"created_at": ago(hours=2), "tested_at": None},
            ),
        ],
    )
    def test_staff_may_move_them(self, trader: User, limit, rule, fields):
        mine = keyed(trader, **fields)
        assert rule not in found(mine)
        Thresholds.objects.update_or_create(pk=1, defaults=limit)
        assert rule in found(mine)


class TestDoubt:
    """What cannot be judged stays as it was found: silence is no proof that a danger is gone."""

    def test_a_test_that_tells_nothing_settles_nothing(self, trader: User):
        mine = keyed(
            trader,
            permissions=may(withdraw=True, transfer=True, futures_trade=True),
            ip_restricted=False,
            key_expires_at=ahead(days=3),
            strategies=["spot"],
        )
        before = found(mine)
        assert len(before) == 5
        change(mine, status="failed", permissions={}, ip_restricted=None, key_expires_at=None)
        assert found(mine) == before
        change(mine, status="connected", permissions=may(), ip_restricted=True)
        assert found(mine) == {}

    def test_a_test_that_tells_the_rights_settles_them(self, trader: User):
        mine = keyed(trader, permissions=may(withdraw=True))
        assert "withdraw_enabled" in found(mine)
        change(mine, status="failed", permissions=may(spot_trade=False))
        assert "withdraw_enabled" not in found(mine)

    def test_an_exchange_that_stops_telling_is_believed(self, trader: User):
        mine = keyed(trader, ip_restricted=False)
        assert set(found(mine)) == {"no_ip_restriction"}
        change(mine, ip_restricted=None)
        assert set(found(mine)) == {"ip_restriction_unknown"}

    def test_what_cannot_be_tested_is_not_judged_by_tests(self, trader: User, mexc: Exchange):
        failing = keyed(trader, failing_since=ago(days=2), problem="bad_secret")
        new = keyed(trader, tested_at=None, created_at=ago(days=2))
        before = {**found(failing), **found(new)}
        assert set(before) == {"failing", "never_tested"}
        Exchange.objects.filter(pk=mexc.pk).update(paused=True)
        late = keyed(trader, failing_since=ago(days=2), problem="bad_secret")
        assert {**found(failing), **found(new)} == before
        assert found(late) == {}

    def test_a_pause_ends_what_is_judged_by_tests(self, trader: User, mexc: Exchange):
        failing = keyed(trader, failing_since=ago(days=2), problem="bad_secret")
        assert "failing" in found(failing)
        change(failing, paused_at=NOW)
        assert found(failing) == {}

    def test_a_snooze_lapses_in_doubt_too(self, trader: User):
        mine = keyed(trader, permissions=may(withdraw=True))
        audit(now=NOW)
        mine.findings.update(state="snoozed", snoozed_until=NOW + DAY)
        change(mine, status="failed", permissions={})
        assert found(mine, NOW + DAY - SECOND)["withdraw_enabled"].state == "snoozed"
        assert found(mine, NOW + DAY)["withdraw_enabled"].state == "open"
