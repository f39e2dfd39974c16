"""Support sees the site as a user does: by consent, for an hour at most, reading alone, and on
record."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client
from django.urls import Resolver404, URLResolver, get_resolver, resolve, reverse
from django.utils import timezone

from backfuture.accounts import own_data, view_as
from backfuture.accounts.models import KnownDevice, User, ViewGrant
from connections.events import AccessEvent
from connections.models import Connection, Exchange, Finding
from tests import making, strategies_made

SECURITY = "/accounts/security/"
REASON = "ticket 4711"
Kind = AccessEvent.Kind


@pytest.fixture
def helper(db: None) -> User:
    user = User.objects.create_user("helper@example.com", "x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_as_user"))
    making.totp(user)
    return user


@pytest.fixture
def desk(helper: User) -> Client:
    return making.desk(Client(), helper)


@pytest.fixture
def mine(trader: User) -> Connection:
    return strategies_made.tested(trader, "Main of the trader")


@pytest.fixture
def given(trader: User) -> ViewGrant:
    return view_as.grant(trader, now=timezone.now())


def start(client: Client, owner: User, reason: str = REASON) -> Any:
    return client.post(reverse("admin:accounts_user_view_as", args=[owner.pk]), {"reason": reason})


@pytest.fixture
def viewing(desk: Client, trader: User, mine: Connection, given: ViewGrant) -> Client:
    assert start(desk, trader).url == reverse("connections:list")
    return desk


def looks() -> list[str]:
    events = AccessEvent.objects.filter(kind=Kind.STAFF_LOOK, why__startswith=view_as.MARK)
    return [event.why.removeprefix(view_as.MARK) for event in events.order_by("pk")]


class TestConsent:
    def test_owner_lets_support_in_for_an_hour(self, browser: Client, trader: User) -> None:
        browser.post(reverse("accounts:let_support_look"))
        given = ViewGrant.objects.get(owner=trader)
        assert given.until - given.granted_at == timedelta(minutes=60)
        assert AccessEvent.objects.filter(kind=Kind.VIEW_GRANTED, owner=trader).count() == 1
        assert "End it now" in browser.get(SECURITY).content.decode()

    def test_it_asks_who_is_there(self, trader: User) -> None:
        late = making.sign_in(Client(), trader, age=6 * 60)
        answer = late.post(reverse("accounts:let_support_look"))
        assert answer.url.startswith("/accounts/reauthenticate/")
        assert not ViewGrant.objects.exists()

    def test_pressed_twice_it_is_not_longer(self, browser: Client, given: ViewGrant) -> None:
        browser.post(reverse("accounts:let_support_look"))
        assert ViewGrant.objects.get().until == given.until

    def test_owner_ends_it_at_any_time_without_being_asked(
        self, trader: User, given: ViewGrant
    ) -> None:
        late = making.sign_in(Client(), trader, age=6 * 60)
        late.post(reverse("accounts:end_support_look"))
        assert not ViewGrant.objects.open(timezone.now()).exists()
        assert AccessEvent.objects.filter(kind=Kind.VIEW_ENDED).count() == 1

    def test_nobody_ends_or_gives_that_of_another(
        self, stranger: User, trader: User, given: ViewGrant
    ) -> None:
        other = making.sign_in(Client(), stranger)
        other.post(reverse("accounts:end_support_look"))
        other.post(reverse("accounts:let_support_look"))
        assert view_as.open_grant(trader, now=timezone.now()) == given

    def test_owner_sees_who_looked(self, viewing: Client, browser: Client) -> None:
        viewing.get("/connections/")
        viewing.get("/findings/")
        page = browser.get(SECURITY).content.decode()
        assert "helper@example.com opened 2 pages" in page
        assert f"/findings/ ({REASON})" in browser.get("/accounts/activity/").content.decode()

    def test_it_is_in_the_owner_s_data(self, trader: User, given: ViewGrant) -> None:
        account = own_data.export(trader)["account"]
        assert [row["until"] for row in account["let_support_look"]] == [given.until]


class TestBeginning:
    def test_needs_consent(self, desk: Client, trader: User, mine: Connection) -> None:
        assert start(desk, trader).status_code == 200
        assert desk.get("/connections/").context["user"].email == "helper@example.com"
        assert not looks()

    def test_needs_consent_that_still_holds(
        self, desk: Client, trader: User, given: ViewGrant
    ) -> None:
        view_as.end(trader, now=timezone.now())
        assert start(desk, trader).status_code == 200
        assert view_as.SESSION not in desk.session

    def test_needs_a_reason(self, desk: Client, trader: User, given: ViewGrant) -> None:
        assert start(desk, trader, " ").status_code == 200
        assert view_as.SESSION not in desk.session

    def test_needs_the_right(
        self, desk: Client, helper: User, trader: User, given: ViewGrant
    ) -> None:
        helper.user_permissions.clear()
        assert start(desk, trader).status_code == 403

    def test_asks_for_a_second_factor_once_more(
        self, helper: User, trader: User, given: ViewGrant
    ) -> None:
        late = making.sign_in(Client(), helper, second_factor=True, age=6 * 60)
        assert "confirm-code" in start(late, trader).content.decode()
        assert view_as.SESSION not in late.session

    def test_is_refused_for_staff_and_closed_accounts(
        self, desk: Client, trader: User, given: ViewGrant
    ) -> None:
        for changed in ({"is_staff": True}, {"is_staff": False, "is_active": False}):
            User.objects.filter(pk=trader.pk).update(**changed)
            assert start(desk, trader).status_code == 200
            assert view_as.SESSION not in desk.session

    def test_user_s_page_leads_there(self, desk: Client, trader: User, given: ViewGrant) -> None:
        page = desk.get(reverse("admin:accounts_user_view_as", args=[trader.pk])).content.decode()
        assert "The user lets support look until" in page

    def test_csrf_is_asked_for(self, helper: User, trader: User, given: ViewGrant) -> None:
        strict = making.desk(Client(enforce_csrf_checks=True), helper)
        assert start(strict, trader).status_code == 403
        assert view_as.SESSION not in strict.session


class TestLooking:
    def test_shows_the_user_s_pages_under_a_banner(self, viewing: Client, mine: Connection) -> None:
        strategy = strategies_made.strategy(mine)
        own = mine.get_absolute_url()
        test = mine.tests.get()
        for path in (
            "/connections/",
            own,
            f"{own}tests/",
            f"{own}tests/{test.pk}/",
            "/findings/",
            "/exchanges/",
            "/exchanges/mexc/",
            "/notices/",
            "/strategies/",
            strategy.get_absolute_url(),
            f"{strategy.get_absolute_url()}history/",
        ):
            answer = viewing.get(path)
            text = answer.content.decode()
            assert answer.status_code == 200, path
            assert answer.context["user"].email == "trader@example.com"
            assert "You see the site as" in text, path
            assert reverse("accounts:stop_viewing") in text
        assert mine.name in viewing.get("/connections/").content.decode()

    def test_what_would_be_refused_cannot_be_pressed(
        self, viewing: Client, mine: Connection, site: Site
    ) -> None:
        """On every page, as the browser reads it; and so in the fragments that it fetches."""
        Finding.objects.create(connection=mine, rule="withdraw_enabled", severity=40)
        seen = Pressable()
        for name in sorted(view_as.PAGES):
            for headers in ({}, {"HX-Request": "true"}):
                answer = viewing.get(site.path(NAMES[name]), headers=headers, follow=True)
                assert answer.status_code == 200, name
                seen.feed(answer.content.decode())
        assert len(seen.ways) > 10
        for way in seen.ways:
            assert way == ("post", view_as.LEAVE) or (way[0] == "get" and way[1] in view_as.PAGES)
        assert seen.grey_links and seen.grey_buttons

    def test_own_pages_are_never_grey(self, browser: Client, mine: Connection) -> None:
        for path in ("/connections/", mine.get_absolute_url(), "/findings/"):
            assert "aria-disabled" not in browser.get(path).content.decode()

    def test_fragments_work(self, viewing: Client, mine: Connection) -> None:
        answer = viewing.get(f"{mine.get_absolute_url()}test/", headers={"HX-Request": "true"})
        assert answer.status_code == 200
        assert b"test-panel" in answer.content

    def test_others_do_not_exist(self, viewing: Client, stranger: User, mexc: Exchange) -> None:
        theirs = making.connection(stranger, mexc, "Theirs")
        assert viewing.get(theirs.get_absolute_url()).status_code == 404

    def test_what_the_member_of_staff_has_does_not_either(
        self, viewing: Client, helper: User, mexc: Exchange
    ) -> None:
        own = making.connection(helper, mexc, "Main of the helper")
        assert viewing.get(own.get_absolute_url()).status_code == 404
        assert "Main of the helper" not in viewing.get("/connections/").content.decode()

    def test_every_page_is_on_record_with_the_reason(
        self, viewing: Client, helper: User, trader: User, mine: Connection
    ) -> None:
        own = mine.get_absolute_url()
        for path in ("/connections/", own, own, "/findings/?page=1"):
            viewing.get(path)
        assert looks() == [
            f"begin ({REASON})",
            f"/connections/ ({REASON})",
            f"{own} ({REASON})",
            f"/findings/ ({REASON})",
        ]
        event = AccessEvent.objects.get(why__contains=own)
        assert (event.actor, event.owner, event.connection) == (helper, trader, mine)

    def test_refused_pages_are_not_looked_at(self, viewing: Client) -> None:
        viewing.get(SECURITY)
        assert looks() == [f"begin ({REASON})"]

    def test_times_are_the_user_s(self, viewing: Client, trader: User) -> None:
        User.objects.filter(pk=trader.pk).update(time_zone="Asia/Tokyo")
        assert "JST" in viewing.get("/connections/").content.decode()

    def test_nothing_is_left_in_the_user_s_account(
        self, viewing: Client, trader: User, mine: Connection, browser: Client
    ) -> None:
        def traces() -> list[Any]:
            found = User.objects.filter(pk=trader.pk).values().get()
            sessions = list(UserSession.objects.filter(user=trader).values())
            return [found, sessions, KnownDevice.objects.filter(user=trader).count()]

        before = traces()
        for path in ("/connections/", mine.get_absolute_url(), "/notices/", SECURITY):
            viewing.get(path)
        assert traces() == before
        assert viewing.cookies.get("device") is None

    def test_session_stays_that_of_the_member_of_staff(self, viewing: Client, helper: User) -> None:
        viewing.get("/connections/")
        assert viewing.session["_auth_user_id"] == str(helper.pk)

    def test_without_consent_to_more_the_helper_sees_their_own_pages_as_before(
        self, desk: Client, helper: User
    ) -> None:
        assert desk.get("/connections/").context["user"] == helper


# --- whatever is not on the list -----------------------------------------------------------------


def names(resolver: Any, before: tuple[str, ...] = (), route: str = "") -> dict[str, str]:
    """Every name of an address of the site, with its pattern."""
    found: dict[str, str] = {}
    for part in resolver.url_patterns:
        whole = route + str(part.pattern)
        if isinstance(part, URLResolver):
            inside = (*before, part.namespace) if part.namespace else before
            found |= names(part, inside, whole)
        else:
            found[":".join((*before, part.name or whole))] = whole
    return found


NAMES = names(get_resolver())


class Site:
    """Real values for the parts of addresses."""

    def __init__(self, connection: Connection) -> None:
        strategy = strategies_made.strategy(connection, "Another")
        self.by_type = {"uuid": connection.pk, "int": 1, "slug": "mexc", "path": "1", "str": "x"}
        self.by_name = {"test_pk": connection.tests.get().pk}
        self.strategy = strategy.pk

    def path(self, route: str) -> str:
        by_type = dict(self.by_type)
        if route.startswith("strategies/<uuid:pk>"):
            by_type["uuid"] = self.strategy

        def value(match: re.Match[str]) -> str:
            kind, _, name = match[1].rpartition(":")
            return str(self.by_name.get(name, by_type[kind or "str"]))

        plain = re.sub(r"<([\w:]+)>", value, re.sub(r"\(\?P<\w+>[^)]*\)", "1", route))
        return "/" + plain.replace("^", "").replace("$", "").replace("\\", "")


@pytest.fixture
def site(mine: Connection) -> Site:
    return Site(mine)


class Pressable(HTMLParser):
    """Where the links and the forms' buttons of pages lead that can still be pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.ways: set[tuple[str, str]] = set()
        self.grey_links = self.grey_buttons = 0
        self.form: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.grey_links += "aria-disabled" in said
            self.add("get", said.get("href", "#"))
        elif tag == "form":
            self.form = said.get("method", "get"), said.get("action", "#")
        elif tag in {"button", "input", "select"} and self.form:
            self.grey_buttons += "disabled" in said
            if "disabled" not in said and said.get("type") != "hidden":
                self.add(*self.form)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = None

    def add(self, method: str, address: str) -> None:
        if address.startswith("/"):
            self.ways.add((method, resolve(address.partition("?")[0]).view_name))
        else:
            assert address.startswith(("#", "?", "https://")) and method == "get", address


# Said here a second time, so that nobody opens another page to support by a slip.
OPEN = {
    "connections": "list detail test tests past_test",
    "findings": "list",
    "exchanges": "list detail",
    "notices": "list",
    "strategies": "list detail history",
}


def test_list_is_this_and_names_nothing_that_is_gone() -> None:
    pages = {f"{app}:{page}" for app, pages in OPEN.items() for page in pages.split()}
    assert pages | {"home"} == view_as.PAGES
    assert set(NAMES) >= view_as.PAGES


@pytest.mark.parametrize("method", ["get", "post", "head", "options", "put", "delete", "htmx"])
def test_whatever_is_not_on_the_list_is_refused(
    viewing: Client, site: Site, trader: User, method: str
) -> None:
    before = everything_of(trader)
    wrong, asked = [], 0
    for name, route in NAMES.items():
        path = site.path(route)
        try:
            found = resolve(path).view_name
        except Resolver404:
            wrong.append(f"{name}: {path} leads nowhere")
            continue
        if found in view_as.ENDS and method == "post":
            continue
        cache.clear()
        asked += 1
        send = getattr(viewing, "get" if method == "htmx" else method)
        headers = {"HX-Request": "true"} if method == "htmx" else {}
        status = send(path, headers=headers).status_code
        open_here = method in {"get", "htmx"} and found in view_as.PAGES
        if (status != 403) != open_here:
            wrong.append(f"{name}: {status}")
    assert not wrong, "\n".join(wrong)
    assert asked > 100
    assert everything_of(trader) == before


def everything_of(owner: User) -> list[Any]:
    """What a look must not change; the looks themselves are another matter."""
    return [
        User.objects.filter(pk=owner.pk).values().get(),
        list(Connection.objects.filter(owner=owner).values()),
        list(owner.strategies.values()),
        list(owner.view_grants.values()),
        list(owner.notices.values()),
        AccessEvent.objects.filter(owner=owner).exclude(kind=Kind.STAFF_LOOK).count(),
        [connection.tests.count() for connection in owner.connections.all()],
        list(owner.connections.values("credentials__state", "credentials__revision")),
    ]


def test_refusal_says_what_goes_on_and_how_to_leave(viewing: Client) -> None:
    for answer in (viewing.get("/admin/"), viewing.post("/connections/new/mexc/", {})):
        text = answer.content.decode()
        assert answer.status_code == 403
        assert "Nothing was changed" in text
        assert reverse("accounts:stop_viewing") in text


def test_refusal_is_seen_where_a_part_of_a_page_was_asked_for(
    viewing: Client, mine: Connection
) -> None:
    path = f"{mine.get_absolute_url()}test/"
    answer = viewing.post(path, headers={"HX-Request": "true"})
    assert answer.status_code == 403
    page = viewing.get(answer.headers["HX-Redirect"])
    assert "Nothing was changed" in page.content.decode()
    assert page.status_code == 403


# --- its end -------------------------------------------------------------------------------------


class TestEnd:
    def test_leaving_brings_back_what_one_is(
        self, viewing: Client, helper: User, trader: User
    ) -> None:
        answer = viewing.post(reverse("accounts:stop_viewing"))
        assert answer.url == reverse("admin:accounts_user_view_as", args=[trader.pk])
        assert viewing.get("/admin/").status_code == 200
        assert viewing.get("/connections/").context["user"] == helper

    def test_signing_out_is_always_possible_and_ends_it(
        self, viewing: Client, helper: User, trader: User
    ) -> None:
        assert viewing.get("/accounts/logout/").status_code == 403
        assert viewing.post("/accounts/logout/").status_code == 302
        assert "_auth_user_id" not in viewing.session
        assert view_as.SESSION not in viewing.session
        event = AccessEvent.objects.filter(kind=Kind.SIGNED_OUT).get()
        assert (event.actor, event.owner) == (helper, helper)
        assert viewing.get("/connections/").status_code == 302

    def test_leaving_is_a_post_of_ones_own(self, helper: User, trader: User) -> None:
        view_as.grant(trader, now=timezone.now())
        strict = making.desk(Client(enforce_csrf_checks=True), helper)
        session = strict.session
        grant = ViewGrant.objects.get().pk
        session[view_as.SESSION] = {"grant": grant, "staff": helper.pk, "reason": "x"}
        session.save()
        assert strict.post(reverse("accounts:stop_viewing")).status_code == 403
        assert view_as.SESSION in strict.session

    def test_after_an_hour_it_is_over_and_stays_over(
        self, viewing: Client, given: ViewGrant
    ) -> None:
        hour = timedelta(minutes=60)
        ViewGrant.objects.filter(pk=given.pk).update(
            granted_at=given.granted_at - hour, until=given.until - hour
        )
        answer = viewing.get("/connections/", follow=True)
        assert answer.redirect_chain == [(reverse("admin:index"), 302)]
        assert "The look is over" in answer.content.decode()
        assert view_as.SESSION not in viewing.session

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_with_the_consent(self, viewing: Client, trader: User, method: str) -> None:
        view_as.end(trader, now=timezone.now())
        answer = getattr(viewing, method)("/connections/new/mexc/")
        assert answer.url == reverse("admin:index")
        assert view_as.SESSION not in viewing.session

    def test_in_the_middle_of_a_page_that_asks_again(
        self, viewing: Client, trader: User, mine: Connection
    ) -> None:
        """A fragment would hold the desk; the browser is sent there instead."""
        view_as.end(trader, now=timezone.now())
        answer = viewing.get(f"{mine.get_absolute_url()}test/", headers={"HX-Request": "true"})
        assert answer.headers["HX-Redirect"] == reverse("admin:index")
        assert b"test-panel" not in answer.content

    def test_with_the_right_to_it(self, viewing: Client, helper: User) -> None:
        helper.user_permissions.clear()
        assert viewing.get("/connections/").url == reverse("admin:index")

    def test_with_the_place_at_the_desk(self, viewing: Client, helper: User) -> None:
        User.objects.filter(pk=helper.pk).update(is_staff=False)
        assert viewing.get("/connections/").url == reverse("admin:index")
        assert viewing.get("/connections/").context["user"] == helper

    def test_with_the_second_factor_of_the_session(self, viewing: Client) -> None:
        session = viewing.session
        session["account_authentication_methods"] = []
        session.save()
        assert viewing.get("/connections/").url == reverse("admin:index")

    def test_with_the_user_s_account(self, viewing: Client, trader: User) -> None:
        User.objects.filter(pk=trader.pk).update(is_active=False)
        assert viewing.get("/connections/").url == reverse("admin:index")

    def test_with_the_session(self, viewing: Client, helper: User) -> None:
        """A new password ends all sessions, and nobody is anybody then."""
        helper.set_password("another long password")
        helper.save()
        answer = viewing.get("/connections/")
        assert answer.url.startswith("/accounts/login/")
        making.sign_in(viewing, helper, second_factor=True)
        assert viewing.get("/connections/").context["user"] == helper

    def test_with_the_user_becoming_staff(self, viewing: Client, trader: User) -> None:
        User.objects.filter(pk=trader.pk).update(is_staff=True)
        assert viewing.get("/connections/").url == reverse("admin:index")

    def test_second_tab_is_in_it_too_and_leaves_with_the_first(
        self, viewing: Client, helper: User, mine: Connection
    ) -> None:
        second = Client()
        second.cookies = viewing.cookies
        assert second.get("/admin/").status_code == 403
        viewing.post(reverse("accounts:stop_viewing"))
        assert second.get("/admin/").status_code == 200
        assert second.get(mine.get_absolute_url()).status_code == 404

    def test_another_session_of_the_same_person_is_not_in_it(
        self, viewing: Client, helper: User
    ) -> None:
        other = making.desk(Client(), helper)
        assert other.get("/admin/").status_code == 200
        assert other.get("/connections/").context["user"] == helper

    def test_session_of_another_person_is_worth_nothing(
        self, trader: User, mine: Connection, given: ViewGrant, staff: User
    ) -> None:
        """What the session notes names who began it."""
        other = making.desk(Client(), staff)
        session = other.session
        session[view_as.SESSION] = {"grant": given.pk, "staff": trader.pk, "reason": "x"}
        session.save()
        assert other.get("/connections/").url == reverse("admin:index")
