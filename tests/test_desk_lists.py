"""The desk's lists: the same number of queries with one row and with two hundred, no counting of
millions, and found by what support is told."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth.models import Group
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import large_tables, lookup
from connections.connection_filters import FILTERS
from connections.models import (
    AccessEvent,
    Connection,
    ConnectionTest,
    Credential,
    Exchange,
    Finding,
    Notice,
    Outage,
    Thresholds,
)
from strategies.models import Pair, PairList, StrategyConfig
from tests import many
from tests.making import desk as at_the_desk
from tests.making import say_why
from tests.test_desk import helper

LISTS = [model._meta.label_lower for model in site._registry]
# As many rows as there are exchanges, thresholds or kinds of work, never more.
FIXED = {Exchange, Thresholds}


@pytest.fixture
def desk(staff: User) -> Client:
    return at_the_desk(Client(), staff)


def changelist(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def fill(number: int, mexc: Exchange) -> None:
    """So many of everything that people and the product make."""
    now = timezone.now()
    for _each in range(number):
        mark = secrets.token_hex(6)
        owner = User.objects.create(email=f"{mark}@example.com")
        row = many.keyed(owner, name=mark)
        key = row.credentials.get()
        ConnectionTest.objects.create(
            connection=row, credential=key, reason="user", status="done", problem="ip_not_allowed"
        )
        Finding.objects.create(connection=row, rule="old", severity=20)
        AccessEvent.objects.create(kind="opened", actor=owner, owner=owner, connection=row)
        Notice.objects.create(user=owner, kind="test", key=mark, subject=mark, connection=row)
        StrategyConfig.objects.create(owner=owner, connection=row, name=mark, quote="USDT")
        Pair.objects.create(exchange=mexc, market="spot", symbol=mark, base=mark, quote="USDT")
        Outage.objects.create(exchange=mexc, began_at=now, ended_at=now)
        Group.objects.create(name=mark)
    PairList.objects.get_or_create(exchange=mexc, market="spot")


@pytest.mark.parametrize("label", LISTS)
def test_list_costs_the_same_with_two_hundred_rows(
    desk: Client, mexc: Exchange, label: str
) -> None:
    model = next(each for each in site._registry if each._meta.label_lower == label)
    fill(1, mexc)
    path = changelist(model)
    desk.get(path)
    with CaptureQueriesContext(database) as few:
        assert desk.get(path).status_code == 200
    fill(199, mexc)
    with CaptureQueriesContext(database) as lots:
        assert desk.get(path).status_code == 200
    assert len(lots) == len(few)
    assert len(few) < 25


def test_page_of_a_connection_costs_the_same_with_a_long_history(
    desk: Client, trader: User, mexc: Exchange
) -> None:
    say_why(desk, trader)
    row = many.keyed(trader)
    path = reverse("admin:connections_connection_change", args=[row.pk])
    key = row.credentials.get()

    def past(number: int) -> None:
        tests = (
            ConnectionTest(connection=row, credential=key, reason="user", status="done")
            for _each in range(number)
        )
        ConnectionTest.objects.bulk_create(tests)
        AccessEvent.objects.bulk_create(
            [AccessEvent(kind="opened", owner=trader, connection=row) for _each in range(number)]
        )

    past(1)
    desk.get(path)
    with CaptureQueriesContext(database) as few:
        desk.get(path)
    past(200)
    with CaptureQueriesContext(database) as lots:
        page = desk.get(path)
    assert len(lots) == len(few)
    assert len(page.context["timeline"]) == 30


@pytest.mark.parametrize("label", LISTS)
def test_rows_are_counted_no_further_than_people_turn_pages(desk: Client, label: str) -> None:
    model = next(each for each in site._registry if each._meta.label_lower == label)
    shown = site._registry[model]
    assert shown.paginator is large_tables.LargePaginator
    assert not shown.show_full_result_count
    with CaptureQueriesContext(database) as asked:
        desk.get(changelist(model))
    counts = [each["sql"] for each in asked if f'"{model._meta.db_table}"' in each["sql"]]
    whole = [sql for sql in counts if sql.startswith("SELECT COUNT(") and "LIMIT" not in sql]
    assert not whole


def test_counting_and_paging_have_an_end(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    monkeypatch.setattr(large_tables, "PAGED", 6)
    rows = Group.objects.filter(pk__gt=0).order_by("pk")
    there = rows.count()
    for number in range(6 - there):
        Group.objects.create(name=str(number))
    exact = large_tables.LargePaginator(rows, 2)
    assert (exact.count, str(exact.count), exact.num_pages) == (6, "6", 3)
    Group.objects.create(name="One more")
    pages = large_tables.LargePaginator(rows, 2)
    assert (pages.count, str(pages.count), pages.num_pages) == (6, "6+", 3)
    assert len(pages.page(3).object_list) == 2


@pytest.mark.parametrize(
    ("rows", "said"), [(999_999, "about 1,000,000"), (12_345, "about 12,300"), (0, "2+")]
)
def test_postgresql_s_own_reckoning_is_told_of_a_whole_table(
    monkeypatch: pytest.MonkeyPatch, db: None, rows: int, said: str
) -> None:
    monkeypatch.setattr(large_tables, "_seen", lambda alias, table: rows)
    there = Group.objects.count()
    assert there > 2
    assert str(large_tables.count(Group.objects.all(), 2)) == said
    assert str(large_tables.count(Group.objects.filter(pk__gt=0), 2)) == "2+"


def test_a_capped_number_stands_on_the_page(
    desk: Client, trader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_tables, "PAGED", 2)
    for _each in range(3):
        many.keyed(trader, status="failed")
    text = desk.get(changelist(Connection), {"status__exact": "failed"}).content.decode()
    assert "2+" in text


# --- found by what support is told ----------------------------------------------------------
@pytest.fixture
def told(trader: User, stranger: User) -> Connection:
    row = many.keyed(trader, name="Recovery PRO Connection", uid="1234567")
    Credential.objects.filter(connection=row).update(hint="Zq7x", fingerprint="ab" * 32)
    many.keyed(stranger, name="Another")
    return row


def words(row: Connection) -> list[str]:
    return [
        "trader@example.com",
        "TRADER@example.com",
        "trader@",
        "Recovery PRO Connection",
        "recovery pro connection",
        "Recovery P",
        "1234567",
        "Zq7x",
        "ab" * 32,
        str(row.pk),
    ]


@pytest.mark.parametrize("which", range(10))
def test_connection_is_found_in_the_list_and_by_the_search(
    desk: Client, told: Connection, which: int
) -> None:
    word = words(told)[which]
    listed = desk.get(changelist(Connection), {"q": word}).content.decode()
    assert "Recovery PRO Connection" in listed and "Another" not in listed
    for form in ({"s": word}, {"s": word, "extended": "1"}):
        found = desk.get(reverse("admin:search"), form).content.decode()
        assert f"/admin/connections/connection/{told.pk}/change/" in found
        assert "Another" not in found


@pytest.mark.parametrize(
    "word", ["", " ", "\0", "x", "%", "_", "Pro", "zq7", "q7x", "@", "ab" * 90]
)
def test_nothing_else_is(desk: Client, told: Connection, word: str) -> None:
    found = desk.get(reverse("admin:search"), {"s": word, "extended": "1"}).content.decode()
    assert str(told.pk) not in found
    assert lookup.connections(word) == set()


def test_search_leads_to_people_exchanges_and_lists(desk: Client, told: Connection) -> None:
    def found(word: str) -> str:
        return desk.get(reverse("admin:search"), {"s": word, "extended": "1"}).content.decode()

    assert f"/admin/accounts/user/{told.owner_id}/change/" in found("trader@example.com")
    assert "/admin/connections/exchange/kucoin/change/" in found("kuc")
    assert changelist(Finding) in found("findings")


def test_search_shows_nobody_more_than_they_may_see(told: Connection) -> None:
    found = helper("view_exchange").get(reverse("admin:search"), {"s": "trader@example.com"})
    assert "trader" not in found.content.decode()
    assert str(told.pk) not in found.content.decode()


def test_search_costs_the_same_however_many_are_found(desk: Client, mexc: Exchange) -> None:
    path = reverse("admin:search") + "?extended=1&s=found"

    def make(number: int) -> None:
        for _each in range(number):
            owner = User.objects.create(email=f"found{secrets.token_hex(4)}@example.com")
            many.keyed(owner)

    make(1)
    desk.get(path)
    with CaptureQueriesContext(database) as few:
        desk.get(path)
    make(60)
    with CaptureQueriesContext(database) as lots:
        text = desk.get(path).content.decode()
    assert len(lots) == len(few)
    assert text.count("/change/") == 40


# --- filters --------------------------------------------------------------------------------
def test_each_filter_narrows_and_none_breaks(desk: Client, told: Connection) -> None:
    choices = {
        each.parameter_name: [*dict(each.choices_here), "nonsense"]
        for each in FILTERS
        if not isinstance(each, str) and each.choices_here
    }
    assert len(choices) == 10
    for name, values in choices.items():
        counts = {
            value: desk.get(changelist(Connection), {name: value}).context["cl"].result_count
            for value in values
        }
        whole = counts.pop("nonsense")
        assert whole == 2, name
        assert all(count <= 2 for count in counts.values())
        assert any(count < 2 for count in counts.values()), name


@pytest.mark.parametrize(
    ("name", "value"),
    [("withdraw", "yes"), ("withdraw", "unknown"), ("ip", "unknown"), ("findings", "critical")],
)
def test_filter_finds_the_one_it_is_about(
    desk: Client, told: Connection, name: str, value: str
) -> None:
    right = True if value == "yes" else None
    changed: dict[str, Any] = {
        "withdraw": {"permissions": many.may(withdraw=right)},
        "ip": {"ip_restricted": None},
        "findings": {},
    }
    many.change(told, **changed[name]) if changed[name] else Finding.objects.create(
        connection=told, rule="withdraw_enabled", severity=40
    )
    rows = desk.get(changelist(Connection), {name: value}).context["cl"].result_list
    assert [row.pk for row in rows] == [told.pk]
