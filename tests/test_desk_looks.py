"""Every look at a person's data has a reason and is on record. Views, schedules, exchanges."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from backfuture import schedules
from backfuture.accounts.models import SavedView, User
from backfuture.celery import app
from connections import egress, looks, presentation
from connections.exchanges import EXCHANGES
from connections.models import AccessEvent, Connection, Exchange, Finding, Notice
from strategies.models import StrategyConfig
from tests import making
from tests.many import keyed
from tests.test_desk import helper

CONNECTIONS = reverse("admin:connections_connection_changelist")


@pytest.fixture
def desk(staff: User) -> Client:
    """Nothing was said yet."""
    return making.desk(Client(), staff)


def pages(trader: User) -> dict[str, str]:
    row = making.connection(trader, Exchange.objects.get(code="mexc"), "Main")
    rows: dict[str, Any] = {
        "connections_connection": row,
        "connections_connectiontest": row.tests.get(),
        "connections_finding": Finding.objects.create(connection=row, rule="old", severity=20),
        "connections_notice": Notice.objects.create(
            user=trader, kind="test", key="k", subject="Hello", connection=row
        ),
        "strategies_strategyconfig": StrategyConfig.objects.create(
            owner=trader, connection=row, name="S", quote="USDT"
        ),
        "accounts_user": trader,
        "connections_accessevent": AccessEvent.objects.create(kind="signed_in", owner=trader),
    }
    return {name: reverse(f"admin:{name}_change", args=[each.pk]) for name, each in rows.items()}


def recorded() -> list[tuple[str, str]]:
    found = AccessEvent.objects.filter(kind="staff_look").order_by("pk")
    return [(str(event.owner), event.why) for event in found]


SOMEBODYS = (
    "connections_connection",
    "connections_connectiontest",
    "connections_finding",
    "connections_notice",
    "strategies_strategyconfig",
    "accounts_user",
    "connections_accessevent",
)


class TestReason:
    def test_every_page_of_somebody_s_is_known_here(self) -> None:
        asking = {
            f"{model._meta.app_label}_{model._meta.model_name}"
            for model, shown in site._registry.items()
            if isinstance(shown, looks.LookedAtAdmin)
        }
        assert asking == set(SOMEBODYS)

    @pytest.mark.parametrize("name", SOMEBODYS)
    @pytest.mark.parametrize("page", ["change", "history"])
    def test_no_way_to_write_the_address_goes_round_it(
        self, desk: Client, trader: User, name: str, page: str
    ) -> None:
        """The admin takes "_2B5" for "+5", which is 5, and "urn:uuid:…" for the identity."""
        before, row, _after = re.split(r"([^/]+)(?=/change/)", pages(trader)[name])
        for other in (f"_2B{row}", f"urn_3Auuid_3A{row}", f"_20{row}"):
            answer = desk.get(f"{before}{other}/{page}/")
            assert not answer.url.startswith(before) if answer.status_code == 302 else True
            assert answer.status_code in {302, 404}
            assert "trader@example.com" not in answer.text
        assert not recorded()

    @pytest.mark.parametrize("name", SOMEBODYS)
    @pytest.mark.parametrize("page", ["change", "history"])
    def test_is_asked_before_the_first_look_and_leads_on(
        self, desk: Client, trader: User, name: str, page: str
    ) -> None:
        path = pages(trader)[name].replace("/change/", f"/{page}/")
        answer = desk.get(path)
        assert answer.status_code == 302 and not recorded()
        form = desk.get(answer.url)
        assert "trader@example.com" in form.content.decode()
        assert "They can read it" in form.content.decode()
        on = desk.post(answer.url, {"why": " ticket 12 "})
        assert on.url == path
        assert desk.get(path).status_code == 200
        assert recorded() == [("trader@example.com", "ticket 12")]

    def test_is_asked_once_for_each_person_and_session(
        self, desk: Client, trader: User, stranger: User
    ) -> None:
        mine = pages(trader)
        desk.post(reverse("admin:reason", args=[trader.pk]), {"why": "ticket 12"})
        for path in mine.values():
            assert desk.get(path).status_code == 200
        assert recorded() == [("trader@example.com", "ticket 12")] * len(mine)
        theirs = keyed(stranger)
        other = reverse("admin:connections_connection_change", args=[theirs.pk])
        assert desk.get(other).status_code == 302
        again = making.desk(Client(), User.objects.get(email="staff@example.com"))
        assert again.get(mine["connections_connection"]).status_code == 302

    def test_another_ticket_of_the_same_person_is_another_reason(
        self, desk: Client, trader: User
    ) -> None:
        path = pages(trader)["connections_connection"]
        making.say_why(desk, trader, why="ticket 1")
        text = desk.get(path).content.decode()
        assert "You look because of: ticket 1." in text
        link = re.search(r'href="(/admin/reason/[^"]+)"', text)
        assert link and desk.post(link[1], {"why": "ticket 2"}).url == path
        desk.get(path)
        assert [why for _owner, why in recorded()] == ["ticket 1", "ticket 2"]

    @pytest.mark.parametrize("why", ["", "   ", "x" * 121])
    def test_has_to_be_one(self, desk: Client, trader: User, why: str) -> None:
        answer = desk.post(reverse("admin:reason", args=[trader.pk]), {"why": why})
        assert answer.status_code == 200
        assert not desk.session.get(looks.SESSION_KEY)

    @pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:x"])
    def test_leads_nowhere_else(self, desk: Client, trader: User, wanted: str) -> None:
        path = reverse("admin:reason", args=[trader.pk])
        answer = desk.post(f"{path}?next={wanted}", {"why": "ticket"})
        assert answer.url == "/admin/"

    def test_auditors_give_one_too_and_others_are_not_asked(self, trader: User) -> None:
        path = pages(trader)["connections_connection"]
        assert helper("view_connection").get(path).status_code == 302
        User.objects.filter(email="helper@example.com").delete()
        nobody = helper("view_exchange")
        assert nobody.get(path).status_code == 403
        assert nobody.get(reverse("admin:reason", args=[trader.pk])).status_code == 403

    def test_old_ones_are_forgotten(self, desk: Client, trader: User, rf: Any) -> None:
        request = rf.get("/")
        request.session = {}
        for number in range(looks.MOST_REASONS + 1):
            looks.keep_reason(request, number, "x")
        assert looks.reason(request, 0) == ""
        assert looks.reason(request, 1) == "x"

    def test_owner_sees_that_when_and_why_support_looked(
        self, desk: Client, trader: User, browser: Client
    ) -> None:
        desk.post(reverse("admin:reason", args=[trader.pk]), {"why": "ticket 4712"})
        desk.get(pages(trader)["connections_connection"])
        text = browser.get("/accounts/activity/").content.decode()
        assert "Looked at by support" in text and "ticket 4712" in text
        assert "staff@example.com" not in text


class TestEvents:
    def test_nothing_of_them_can_be_changed_here(self, desk: Client, trader: User) -> None:
        making.say_why(desk, trader)
        event = AccessEvent.objects.create(kind="opened", owner=trader)
        for page, sent in (("change", {"why": "else"}), ("delete", {"post": "yes"})):
            path = reverse(f"admin:connections_accessevent_{page}", args=[event.pk])
            assert desk.post(path, sent).status_code == 403
        lead = reverse("admin:connections_accessevent_changelist")
        desk.post(lead, {"action": "delete_selected", "_selected_action": event.pk, "post": "yes"})
        assert AccessEvent.objects.get(pk=event.pk).why == ""
        assert desk.get(reverse("admin:connections_accessevent_add")).status_code == 403

    def test_of_what_is_nobody_s_nobody_is_asked(self, desk: Client) -> None:
        event = AccessEvent.objects.create(kind="exchange_changed", exchange="mexc")
        path = reverse("admin:connections_accessevent_change", args=[event.pk])
        assert desk.get(path).status_code == 200
        assert not recorded()

    def test_where_somebody_was_is_not_in_the_list(self, desk: Client, trader: User) -> None:
        event = AccessEvent.objects.create(
            kind="signed_in", owner=trader, ip="192.0.2.77", agent="Netscape"
        )
        lead = reverse("admin:connections_accessevent_changelist")
        text = desk.get(lead).content.decode()
        assert "trader@example.com" in text
        assert "192.0.2.77" not in text and "Netscape" not in text
        making.say_why(desk, trader)
        page = reverse("admin:connections_accessevent_change", args=[event.pk])
        assert "192.0.2.77" in desk.get(page).content.decode()
        assert recorded() == [("trader@example.com", "ticket 4711")]

    def test_an_operator_gives_a_reason_as_well(self, trader: User) -> None:
        event = AccessEvent.objects.create(kind="signed_in", owner=trader)
        client = helper("view_accessevent")
        page = reverse("admin:connections_accessevent_change", args=[event.pk])
        asked = client.get(page)
        assert client.get(asked.url).status_code == 200
        assert client.post(asked.url, {"why": "incident 3"}).url == page
        assert client.get(page).status_code == 200
        assert recorded() == [("trader@example.com", "incident 3")]


class TestSavedViews:
    PATH = f"{CONNECTIONS}?status__exact=failed&q=x"

    def save(self, desk: Client, name: str = "Failing", path: str = PATH) -> Any:
        return desk.post(reverse("admin:save_view"), {"name": name, "path": path})

    def test_one_is_saved_found_and_removed(self, desk: Client, staff: User) -> None:
        assert self.save(desk).url == self.PATH
        text = desk.get(self.PATH).content.decode()
        assert "Failing" in text and "Remove “Failing”" in text
        view = SavedView.objects.get()
        assert (view.user, view.path) == (staff, self.PATH)
        assert "Failing" in desk.get("/admin/").content.decode()
        desk.post(reverse("admin:forget_view", args=[view.pk]))
        assert not SavedView.objects.exists()

    def test_same_name_is_overwritten(self, desk: Client) -> None:
        self.save(desk)
        self.save(desk, path=CONNECTIONS)
        assert SavedView.objects.get().path == CONNECTIONS

    @pytest.mark.parametrize(
        "path",
        [
            "https://evil.example/admin/connections/connection/",
            "//evil.example/admin/connections/connection/",
            "javascript:alert(1)",
            "/connections/",
            "/admin/",
            "/admin/logout/",
            "/admin/views/1/forget/",
            "",
            CONNECTIONS + "?q=" + "x" * 1000,
        ],
    )
    def test_only_lists_of_the_desk_are(self, desk: Client, path: str) -> None:
        assert self.save(desk, path=path).status_code == 404
        assert not SavedView.objects.exists()

    @pytest.mark.parametrize("name", ["", "  ", "x" * 41])
    def test_it_needs_a_name(self, desk: Client, name: str) -> None:
        assert self.save(desk, name).status_code == 302
        assert not SavedView.objects.exists()

    def test_they_have_an_end(self, desk: Client, staff: User) -> None:
        SavedView.objects.bulk_create(
            SavedView(user=staff, name=str(number), path=CONNECTIONS) for number in range(30)
        )
        self.save(desk, "one more")
        self.save(desk, "7")
        assert SavedView.objects.count() == 30
        assert SavedView.objects.get(name="7").path == self.PATH

    def test_those_of_others_are_not_there(self, desk: Client, trader: User) -> None:
        view = SavedView.objects.create(user=trader, name="Theirs~q~", path=CONNECTIONS)
        assert "Theirs~q~" not in desk.get("/admin/").content.decode()
        assert desk.post(reverse("admin:forget_view", args=[view.pk])).status_code == 404
        assert SavedView.objects.exists()

    def test_a_name_is_no_markup(self, desk: Client) -> None:
        self.save(desk, "<b>bold</b>")
        for path in ("/admin/", self.PATH):
            text = desk.get(path).content.decode()
            assert "<b>bold" not in text and "&lt;b&gt;bold" in text


class TestExchanges:
    def change(self, desk: Client, **sent: str) -> Any:
        values = {"offered": "on", "position": "10", "notice": "", "server_ips": "", **sent}
        values |= {"initial-offered": "True"}
        return desk.post(reverse("admin:connections_exchange_change", args=["mexc"]), values)

    def test_own_addresses_are_what_users_copy(self, desk: Client, browser: Client) -> None:
        assert self.change(desk, server_ips="192.0.2.1, 192.0.2.2").status_code == 302
        assert Exchange.objects.get(code="mexc").server_ips == "192.0.2.1,192.0.2.2"
        separator = EXCHANGES["mexc"].ip_separator
        assert presentation.server_ips(EXCHANGES["mexc"]) == f"192.0.2.1{separator}192.0.2.2"
        assert "192.0.2.1" in browser.get("/connections/new/mexc/").content.decode()
        assert "192.0.2.1" not in browser.get("/connections/new/kucoin/").content.decode()

    def test_without_own_ones_they_are_the_site_s(self, desk: Client, settings: Any) -> None:
        self.change(desk)
        assert egress.addresses("mexc") == settings.SERVER_IPS

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("192.0.2.1, nonsense", "“nonsense” is no IP address"),
            ("192.0.2.0/24", "is no IP address"),
            ("192.0.2.1 192.0.2.2", "is no IP address"),
            ("127.0.0.1", "is no IP address that an exchange could see"),
            ("::", "is no IP address"),
            ("fe80::1%eth0", "is no IP address"),
            (",".join(f"192.0.2.{number}" for number in range(1, 12)), "10 addresses at most"),
        ],
    )
    def test_what_users_could_not_enter_is_refused(
        self, desk: Client, given: str, said: str
    ) -> None:
        answer = self.change(desk, server_ips=given)
        assert said in answer.content.decode()
        assert Exchange.objects.get(code="mexc").server_ips == ""

    @pytest.mark.parametrize(
        ("sent", "word"),
        [({"offered": ""}, "planned"), ({"paused": "on"}, "paused"), ({}, "offered")],
    )
    def test_list_says_how_users_see_it(
        self, desk: Client, sent: dict[str, str], word: str
    ) -> None:
        self.change(desk, **sent)
        shown = site._registry[Exchange]
        assert f">{word}<" in str(shown.standing(Exchange.objects.get(code="mexc")))

    def test_an_address_given_twice_is_one(self, desk: Client) -> None:
        self.change(desk, server_ips="192.0.2.1, 192.0.2.2,192.0.2.1")
        assert Exchange.objects.get(code="mexc").server_ips == "192.0.2.1,192.0.2.2"

    def test_a_pause_is_not_ended_by_a_page_that_was_open_before(self, desk: Client) -> None:
        path = reverse("admin:connections_exchange_changelist")
        answer = desk.get(path)
        forms = answer.context_data["cl"].formset.forms  # type: ignore[attr-defined]
        sent = {"form-TOTAL_FORMS": str(len(forms)), "form-INITIAL_FORMS": str(len(forms))}
        for number, form in enumerate(forms):
            row, lead = form.instance, f"form-{number}"
            sent |= {f"{lead}-code": row.code, f"{lead}-position": str(row.position)}
            sent |= {f"{lead}-offered": "on", f"initial-{lead}-offered": "True"}
            sent |= {f"initial-{lead}-paused": "False"}
            sent |= {f"initial-{lead}-position": str(row.position)}
            assert f'name="initial-{lead}-paused"' in answer.content.decode()
        sent["form-0-position"] = "7"
        first = forms[0].instance.code
        Exchange.objects.update(paused=True)
        assert desk.post(path, {**sent, "_save": "Save"}).status_code == 302
        assert not Exchange.objects.filter(paused=False).exists()
        assert Exchange.objects.get(code=first).position == 7
        event = AccessEvent.objects.get(kind="exchange_changed")
        assert (event.exchange, event.why) == (first, "position: 7")

    def test_marks_of_the_sweep_are_not_written_over(
        self, desk: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def meanwhile(code: str) -> bool:
            Exchange.objects.filter(code="mexc").update(sweep_fence=9)
            return True

        monkeypatch.setattr("connections.admin._can_be_seen", meanwhile)
        self.change(desk, server_ips="192.0.2.1")
        row = Exchange.objects.get(code="mexc")
        assert (row.server_ips, row.sweep_fence) == ("192.0.2.1", 9)

    def test_saving_the_same_writes_nothing(self, desk: Client) -> None:
        row = Exchange.objects.get(code="mexc")
        same = {"initial-position": str(row.position), "position": str(row.position)}
        self.change(desk, **same)
        assert not AccessEvent.objects.filter(kind="exchange_changed").exists()

    def test_a_change_is_on_record(self, desk: Client) -> None:
        same = str(Exchange.objects.get(code="mexc").position)
        self.change(desk, notice="Slow today", position=same, **{"initial-position": same})
        event = AccessEvent.objects.get(kind="exchange_changed")
        assert (event.exchange, event.why) == ("mexc", "notice: Slow today")


class TestSchedules:
    @pytest.fixture
    def rows(self, db: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """As a scheduler writes them at its start."""
        # It would close the connection that the tests' own transaction is on.
        monkeypatch.setattr("django_celery_beat.schedulers.close_old_connections", lambda: None)
        schedules.KeptScheduler(app=app, lazy=True).setup_schedule()
        return {row.name: row for row in PeriodicTask.objects.all()}

    def change(self, desk: Client, row: Any, **sent: str) -> Any:
        path = reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])
        return desk.post(path, sent)

    def test_all_of_ours_are_known_and_listed_in_words(
        self, desk: Client, rows: dict[str, Any]
    ) -> None:
        assert set(schedules.KNOWN) == set(app.conf.beat_schedule)
        path = reverse("admin:django_celery_beat_periodictask_changelist")
        text = desk.get(path).content.decode()
        assert "Scheduled tests" in text and "every 5 seconds" in text
        assert "every day at 04:10 UTC" in text
        assert "backend_cleanup" not in text and "connections.tasks" not in text

    def test_unaltered_it_stays_the_settings(self, desk: Client, rows: dict[str, Any]) -> None:
        self.change(desk, rows["tell"], enabled="on", seconds="20")
        assert PeriodicTask.objects.get(name="tell").description != schedules.SET_BY_STAFF
        assert not AccessEvent.objects.filter(kind="schedule_changed").exists()

    def test_an_old_page_puts_nothing_back(self, desk: Client, rows: dict[str, Any]) -> None:
        """Somebody else made it rarer while it was open."""
        row = rows["tell"]
        shown = {"initial-enabled": "True", "initial-seconds": "20"}
        self.change(desk, row, enabled="on", seconds="60", **shown)
        self.change(desk, row, seconds="20", **shown)
        kept = PeriodicTask.objects.get(pk=row.pk)
        assert (kept.interval.every, kept.enabled) == (60, False)

    @pytest.mark.parametrize("name", schedules.KNOWN)
    def test_none_is_set_out_of_its_bounds_or_stopped_where_it_may_not(
        self, desk: Client, rows: dict[str, Any], name: str
    ) -> None:
        known, row = schedules.KNOWN[name], rows[name]
        if known.most:
            for seconds in (known.least - 1, known.most + 1, 0, -5, 10**9):
                self.change(desk, row, enabled="on", seconds=str(seconds))
            self.change(desk, row, enabled="on", seconds=str(known.most))
            assert PeriodicTask.objects.get(pk=row.pk).interval.every == known.most
            self.change(desk, row, seconds=str(known.most))
        else:
            self.change(desk, row, enabled="on", time="03:07")
            kept = PeriodicTask.objects.get(pk=row.pk).crontab
            assert (kept.hour, kept.minute, kept.day_of_week) == ("3", "7", "*")
            self.change(desk, row, time="03:07")
        assert PeriodicTask.objects.get(pk=row.pk).enabled == (not known.may_stop)

    def test_nothing_else_about_one_can_be_changed(
        self, desk: Client, rows: dict[str, Any]
    ) -> None:
        sent = {"task": "os.system", "args": '["x"]', "kwargs": '{"a": 1}', "queue": "other"}
        sent |= {"name": "mine", "one_off": "on", "clocked": "1", "crontab": "1"}
        self.change(desk, rows["tell"], enabled="on", seconds="60", **sent)
        row = PeriodicTask.objects.get(pk=rows["tell"].pk)
        assert (row.name, row.task, row.args) == ("tell", "connections.tasks.tell", "[]")
        assert (row.kwargs, row.queue, row.one_off, row.crontab) == ("{}", None, False, None)

    def test_none_is_added_or_removed(self, desk: Client, rows: dict[str, Any]) -> None:
        name = "admin:django_celery_beat_periodictask"
        assert desk.get(reverse(f"{name}_add")).status_code == 403
        path = reverse(f"{name}_delete", args=[rows["tell"].pk])
        assert desk.post(path, {"post": "yes"}).status_code == 403

    def test_what_is_not_ours_has_no_page(self, desk: Client, rows: dict[str, Any]) -> None:
        foreign = PeriodicTask.objects.create(
            name="foreign", task="x", interval=IntervalSchedule.objects.first()
        )
        path = reverse("admin:django_celery_beat_periodictask_change", args=[foreign.pk])
        assert desk.get(path).status_code == 302

    def test_a_change_is_on_record_and_outlives_a_new_start(
        self, desk: Client, rows: dict[str, Any]
    ) -> None:
        self.change(desk, rows["tell"], enabled="on", seconds="60")
        self.change(desk, rows["thin"], enabled="on", time="02:30")
        event = AccessEvent.objects.filter(kind="schedule_changed").earliest("pk")
        assert event.why == "tell, seconds: 60"
        IntervalSchedule.objects.create(every=77, period="seconds")
        send = PeriodicTask.objects.get(name="send-notices")
        send.interval = IntervalSchedule.objects.get(every=77)
        send.save()
        schedules.KeptScheduler(app=app, lazy=True).setup_schedule()
        now = {row.name: row for row in PeriodicTask.objects.all()}
        assert now["tell"].interval.every == 60
        assert now["thin"].crontab.schedule.hour == {2}
        assert now["send-notices"].interval.every == 10, "what no staff set is the settings'"


def test_a_connection_without_a_row_of_its_own_is_not_asked_about(desk: Client) -> None:
    """What is not there leads back to the list, as Django does it."""
    path = reverse("admin:connections_connection_change", args=[Connection().pk])
    assert desk.get(path).status_code == 302
    assert not recorded()
