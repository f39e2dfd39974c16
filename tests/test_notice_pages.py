"""The pages about notices: what was sent, what one wants to hear, by which ways."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backfuture.accounts.models import User
from connections import channels, notice_making, notice_pages, sending
from connections.chat_services import SERVICES
from connections.delivery_words import WORDS, words_for
from connections.models import Notice, NoticeChannel, NoticeDelivery, NoticePreferences
from connections.notices import Kind, preferences_of
from tests import making

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIST, SETTINGS, NEW = "/notices/", "/notices/settings/", "/notices/channels/new/"
ADDRESS = "jsons://hooks.site.org/canary7c1f9d?+Authorization=tk-canary7c1f9d"
MARK = "canary7c1f9d"
PASSWORD = "a long enough password"
DEFAULTS = {"time_zone": "UTC", "by_email": "on", "urgent_in_quiet": "on"}
KINDS = ("break", "recovery", "suspended", "expiry", "finding", "replace", "outage", "weekly")
ALL_ON = {**DEFAULTS, **{f"about_{kind}": "on" for kind in KINDS}}


def text_of(answer: Any) -> str:
    shown = re.sub(r"<(script|style).*?</\1>", "", answer.content.decode(), flags=re.DOTALL)
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", shown).split()))


def notice(user: User, key: str = "one", **more: Any) -> Notice:
    values = {"subject": "MEXC Main fails", "text": "Why.\n\nWhat to do.", "link": "/connections/"}
    kind = more.pop("kind", Kind.BREAK)
    made = notice_making.make(
        user=user, kind=kind, key=key, now=more.pop("now", NOW), **(values | more)
    )
    assert made is not None
    return made


def add(owner: User, name: str = "Phone") -> NoticeChannel:
    return channels.add(owner=owner, name=name, address=ADDRESS, now=NOW)


class TestList:
    def test_nothing_yet(self, browser: Client) -> None:
        shown = text_of(browser.get(LIST))
        assert "Nothing was sent yet" in shown and "Send me a test" in shown

    def test_newest_first_and_each_with_what_became_of_it(
        self, browser: Client, trader: User
    ) -> None:
        phone = add(trader)
        notice(trader, "old", subject="The older one", now=NOW - timedelta(days=1))
        notice(trader, "new", subject="The newer <b>one</b>")
        rows = NoticeDelivery.objects.filter(notice__key="new")
        rows.filter(channel=None).update(status="sent", sent_at=NOW)
        rows.filter(channel=phone).update(status="given_up", problem="refused", tries=6)
        answer = browser.get(LIST)
        shown = text_of(answer)
        assert shown.index("The newer <b>one</b>") < shown.index("The older one")
        assert "<b>one</b>" not in answer.content.decode()
        assert "E-mail sent 21 Nov, 12:00 UTC" in shown
        assert "Phone could not be sent. The service refused it." in shown
        assert "on its way" in shown
        assert 'href="/connections/"' in answer.content.decode()

    def test_states_in_words(self, trader: User) -> None:
        later = NOW + timedelta(minutes=5)
        row = NoticeDelivery(notice=Notice(user=trader), due_at=NOW)
        state = notice_pages.delivery_state
        assert state(row, NOW).word == "on its way"
        row.due_at = later
        assert "quiet hours" in state(row, NOW).word and state(row, NOW).at == later
        row.tries, row.problem = 2, "no_answer"
        again = state(row, NOW)
        assert (again.word, again.at) == ("tried 2 times, again at", later)
        assert again.why == "The service did not answer."

    def test_every_problem_has_words(self) -> None:
        codes = {"blocked", "certificate", "no_answer", "redirected", "refused", "too_many"}
        codes |= {"their_fault", "unexpected", "mail_away", "mail_refused", "gone"}
        codes |= {"sealed_unreadable", "not_understood"}
        assert set(WORDS) == codes
        assert words_for("") == "" and words_for("unheard of") == words_for("unexpected")

    def test_every_kind_has_an_icon(self, browser: Client, trader: User) -> None:
        assert set(notice_pages.ICONS) == set(Kind)
        notice(trader, kind=Kind.SUSPENDED, subject="Ladder is suspended")
        assert "Ladder is suspended" in text_of(browser.get(LIST))

    def test_pages(self, browser: Client, trader: User, django_assert_max_num_queries: Any) -> None:
        add(trader)
        for number in range(notice_pages.ON_A_PAGE + 5):
            notice(trader, f"{number}", subject=f"Number {number:03}.")
        with django_assert_max_num_queries(9):
            first = text_of(browser.get(LIST))
        second = text_of(browser.get(LIST + "?page=2"))
        assert "Page 1 of 2" in first and "Older" in first
        assert first.count("Number 0") + second.count("Number 0") == notice_pages.ON_A_PAGE + 5
        assert browser.get(LIST + "?page=zzz").status_code == 200

    def test_nothing_of_others(self, browser: Client, stranger: User) -> None:
        notice(stranger, subject="Not yours")
        assert "Not yours" not in text_of(browser.get(LIST))

    def test_link_to_another_site_is_none(self, browser: Client, trader: User) -> None:
        notice(trader, link="https://evil.example/")
        assert "evil.example" not in browser.get(LIST).content.decode()

    def test_topbar_leads_there(self, browser: Client) -> None:
        assert f'href="{LIST}"' in browser.get("/connections/").content.decode()


class TestPreferences:
    def save(self, browser: Client, **changed: Any) -> Any:
        sent = {name: value for name, value in {**ALL_ON, **changed}.items() if value is not None}
        return browser.post(SETTINGS, sent)

    def test_everything_is_on_at_first(self, browser: Client) -> None:
        page = browser.get(SETTINGS).content.decode()
        assert page.count("checked") == len(KINDS) + 2
        assert "about_staff_daily" not in page and "about_test" not in page
        assert not NoticePreferences.objects.exists()

    def test_what_is_saved_counts(self, browser: Client, trader: User) -> None:
        answer = self.save(
            browser,
            by_email=None,
            about_weekly=None,
            quiet_from="22:00",
            quiet_until="07:30",
            urgent_in_quiet=None,
            time_zone="America/Sao_Paulo",
        )
        assert answer.url == SETTINGS
        row = preferences_of(trader)
        assert (row.by_email, row.off, row.urgent_in_quiet) == (False, ["weekly"], False)
        assert (row.quiet_from, row.quiet_until) == (clock(22), clock(7, 30))
        trader.refresh_from_db()
        assert trader.time_zone == "America/Sao_Paulo"
        page = browser.get(SETTINGS).content.decode()
        assert 'value="22:00"' in page and 'value="07:30"' in page
        assert '<option value="America/Sao_Paulo" selected>' in page
        assert page.count("checked") == len(KINDS) - 1
        self.save(browser, about_weekly=None, quiet_from="", quiet_until="")
        assert preferences_of(trader).quiet_from is None

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"quiet_from": "22:00"}, "Say when they end, or leave both empty."),
            ({"quiet_until": "07:00"}, "Say when they begin, or leave both empty."),
            ({"quiet_from": "07:00", "quiet_until": "07:00"}, "They must end at another time."),
            ({"quiet_from": "late", "quiet_until": "07:00"}, "Give a time of day, such as 22:00."),
            ({"time_zone": "Europe/Atlantis"}, "Choose a time zone from the list."),
            ({"time_zone": "../../etc/passwd"}, "Choose a time zone from the list."),
            ({"time_zone": None}, "required"),
        ],
    )
    def test_what_cannot_be_is_said_and_not_saved(
        self, browser: Client, changed: dict[str, Any], says: str
    ) -> None:
        answer = self.save(browser, **changed)
        assert answer.status_code == 200
        assert says in text_of(answer)
        assert not NoticePreferences.objects.exists()

    def test_whoever_can_be_told_by_no_way_is_warned(self, browser: Client, trader: User) -> None:
        warning = "Nothing reaches you now"
        assert warning not in text_of(browser.get(SETTINGS))
        self.save(browser, by_email=None)
        assert warning in text_of(browser.get(SETTINGS))
        add(trader)
        assert warning not in text_of(browser.get(SETTINGS))

    def test_staff_alone_have_the_daily_summary(
        self, browser: Client, trader: User, staff: User
    ) -> None:
        self.save(browser, about_staff_daily=None)
        assert preferences_of(trader).wants(Kind.STAFF_DAILY)
        desk = making.desk(Client(), staff)
        assert "about_staff_daily" in desk.get(SETTINGS).content.decode()
        self.save(desk, about_staff_daily=None)
        assert not preferences_of(staff).wants(Kind.STAFF_DAILY)

    def test_zone_in_use_stays_whatever_it_is_called(self, browser: Client, trader: User) -> None:
        User.objects.filter(pk=trader.pk).update(time_zone="Etc/GMT+3")
        assert '<option value="Etc/GMT+3" selected>' in browser.get(SETTINGS).content.decode()
        self.save(browser, time_zone="Etc/GMT+3")
        trader.refresh_from_db()
        assert trader.time_zone == "Etc/GMT+3"


class TestZone:
    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("UTC", "21 Nov 2026, 12:00 UTC"),
            ("Europe/Oslo", "21 Nov 2026, 13:00 CET"),
            ("America/Sao_Paulo", "21 Nov 2026, 09:00 UTC−3"),
            ("Asia/Kolkata", "21 Nov 2026, 17:30 IST"),
            ("Asia/Kathmandu", "21 Nov 2026, 17:45 UTC+5:45"),
            ("Nowhere/AtAll", "21 Nov 2026, 12:00 UTC"),
            ("../etc/passwd", "21 Nov 2026, 12:00 UTC"),
            ("", "21 Nov 2026, 12:00 UTC"),
        ],
    )
    def test_times_are_shown_in_it_and_say_so(
        self, browser: Client, trader: User, name: str, shown: str
    ) -> None:
        User.objects.update(time_zone=name)
        notice(trader)
        assert shown in text_of(browser.get(LIST))
        assert timezone.get_current_timezone_name() == "UTC"  # and of nobody else's visit

    def test_every_page_with_times_follows(self, browser: Client, trader: User, mexc: Any) -> None:
        User.objects.update(time_zone="Asia/Kathmandu")
        row = making.connection(trader, mexc, "Mine")
        test = making.finish(row, making.report())
        paths = [f"/connections/{row.pk}/", f"/connections/{row.pk}/tests/"]
        paths += [f"/connections/{row.pk}/tests/{test.pk}/", "/accounts/activity/"]
        for path in paths:
            page = browser.get(path).content.decode()
            assert "UTC+5:45" in page, path
            assert not re.search(r"\d UTC\b(?!\+)", page), path

    def test_no_template_says_utc_by_itself(self, settings: Any) -> None:
        folder = settings.BASE_DIR / "templates"
        saying = [str(file) for file in folder.rglob("*.html") if "UTC" in file.read_text()]
        assert saying == []


class TestChannels:
    def enter(self, browser: Client, **changed: str) -> Any:
        return browser.post(NEW, {"name": "My phone", "address": ADDRESS, **changed})

    def test_page_names_every_service(self, browser: Client) -> None:
        shown = text_of(browser.get(NEW))
        for service in SERVICES:
            assert service.name in shown and service.example in shown

    def test_address_is_asked_as_a_secret(self, browser: Client) -> None:
        page = browser.get(NEW).content.decode()
        (field,) = re.findall(r'<input[^>]*name="address"[^>]*>', page)
        for part in ('class="masked', 'autocomplete="off"', 'spellcheck="false"', 'type="text"'):
            assert part in field
        assert re.search(r'<input type="password"[^>]*disabled hidden', page)
        assert "value=" not in field

    def test_it_is_added_and_never_shown(self, browser: Client, trader: User) -> None:
        answer = self.enter(browser)
        assert answer.url == SETTINGS
        row = NoticeChannel.objects.get()
        assert (row.owner, row.name, row.service) == (trader, "My phone", "webhook")
        shown = browser.get(SETTINGS)
        assert "My phone Webhook of your own · not used yet" in text_of(shown)
        pages = [shown, browser.get(f"/notices/channels/{row.pk}/remove/"), browser.get(LIST)]
        for page in [answer, *pages]:
            assert MARK not in page.content.decode()

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"address": ""}, "Enter the address."),
            (
                {"address": f"json://hooks.site.org/{MARK}"},
                "Begin with jsons:// instead of json://",
            ),
            ({"address": f"tgram://{MARK}"}, "Example: tgram://123456789"),
            ({"address": f"jsons://127.0.0.1/{MARK}"}, "private network"),
            ({"address": f"discord://1/{MARK}?template=/etc/passwd"}, "Remove template="),
            ({"name": ""}, "Give it a name, such as My phone."),
            ({"name": "x" * 61}, "at most 60 characters"),
            ({"name": "a\x00b"}, "Null characters are not allowed."),
        ],
    )
    def test_bad_input_is_said_and_the_address_not_repeated(
        self, browser: Client, changed: dict[str, str], says: str
    ) -> None:
        answer = self.enter(browser, **changed)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert says in text_of(answer)
        assert MARK not in page
        assert "never sent back" in page
        assert not NoticeChannel.objects.exists()
        if "name" not in changed:
            assert 'value="My phone"' in page

    def test_empty_form_is_answered(self, browser: Client) -> None:
        for path in (NEW, SETTINGS):
            assert browser.post(path).status_code == 200

    def test_name_twice_and_too_many_are_said(
        self, browser: Client, trader: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(trader, "My PHONE")
        assert "already have a chat service of this name" in text_of(self.enter(browser))
        monkeypatch.setattr(channels, "MOST", 1)
        assert "Remove one first" in text_of(self.enter(browser, name="Other"))

    def test_address_in_the_address_bar_is_refused(self, browser: Client) -> None:
        for client in (browser, Client()):
            answer = client.get(NEW, {"address": ADDRESS})
            assert answer.status_code == 400
            assert MARK not in answer.content.decode() + str(answer.headers)

    def test_without_a_fresh_confirmation_the_form_asks_and_keeps_the_name(
        self, trader: User
    ) -> None:
        late = making.sign_in(Client(), trader, age=6 * 60)
        assert "Confirm that it is you" in text_of(late.get(NEW))
        answer = self.enter(late)
        page = answer.content.decode()
        assert "Confirm that it is you" in text_of(answer)
        assert 'value="My phone"' in page and MARK not in page
        assert not NoticeChannel.objects.exists()
        wrong = self.enter(late, **{"confirm-password": "wrong"})
        assert "That is not your password" in text_of(wrong)
        assert self.enter(late, **{"confirm-password": PASSWORD}).url == SETTINGS

    def test_with_a_second_factor_the_code_is_asked(self, trader: User) -> None:
        app = making.totp(trader)
        late = making.sign_in(Client(), trader, second_factor=True, age=6 * 60)
        assert "confirm-code" in self.enter(late).content.decode()
        assert not NoticeChannel.objects.exists()
        assert self.enter(late, **{"confirm-code": app(0)}).url == SETTINGS

    def test_frozen_keys_freeze_chat_services(self, browser: Client, trader: User) -> None:
        row = add(trader)
        User.objects.update(keys_frozen_until=timezone.now() + timedelta(hours=1))
        for path in (NEW, f"/notices/channels/{row.pk}/remove/"):
            assert "Keys are frozen" in text_of(browser.get(path))
            assert browser.post(path, {"name": "x", "address": ADDRESS}).status_code == 403
        assert NoticeChannel.objects.count() == 1

    def test_it_is_removed(self, browser: Client, trader: User) -> None:
        row = add(trader)
        path = f"/notices/channels/{row.pk}/remove/"
        assert "Remove “Phone”?" in text_of(browser.get(path))
        late = making.sign_in(Client(), trader, age=6 * 60)
        assert "Confirm that it is you" in text_of(late.post(path))
        assert NoticeChannel.objects.exists()
        assert browser.post(path).url == SETTINGS
        assert not NoticeChannel.objects.exists()
        assert "delete that at the service too" in text_of(browser.get(SETTINGS))

    def test_another_persons_does_not_exist(self, browser: Client, stranger: User) -> None:
        row = add(stranger)
        for path in ("remove/", "test/"):
            assert browser.post(f"/notices/channels/{row.pk}/{path}").status_code == 404
            assert browser.post(f"/notices/channels/{uuid.uuid4()}/{path}").status_code == 404
        assert browser.get(f"/notices/channels/{row.pk}/remove/").status_code == 404
        assert NoticeChannel.objects.exists() and not Notice.objects.exists()

    def test_how_it_does_is_said(self, browser: Client, trader: User) -> None:
        add(trader)
        NoticeChannel.objects.update(worked_at=NOW)
        assert "last worked 21 Nov, 12:00 UTC" in text_of(browser.get(SETTINGS))
        NoticeChannel.objects.update(failed_at=NOW, problem="refused")
        shown = text_of(browser.get(SETTINGS))
        assert "failing since 21 Nov, 12:00 UTC . The service refused it." in shown

    def test_what_may_not_be_opened_breaks_no_page(self, browser: Client, trader: User) -> None:
        first, second = add(trader), add(trader, "Other")
        token = NoticeChannel.objects.get(pk=second.pk).sealed
        NoticeChannel.objects.filter(pk=first.pk).update(sealed=token)
        for path in (LIST, SETTINGS, f"/notices/channels/{first.pk}/remove/"):
            assert browser.get(path).status_code == 200


class TestTests:
    def test_all_ways_or_one(self, browser: Client, trader: User, mailoutbox: list[Any]) -> None:
        row = add(trader)
        assert browser.post("/notices/test/").url == LIST
        assert NoticeDelivery.objects.count() == 2
        assert browser.post(f"/notices/channels/{row.pk}/test/").url == LIST
        assert NoticeDelivery.objects.filter(channel=row).count() == 2
        NoticeDelivery.objects.filter(channel=row).delete()
        assert sending.send_due(now=timezone.now()) == 1
        (mail,) = mailoutbox
        assert mail.subject == "[BackFuture] Test: notices reach you here"
        assert "E-mail sent" in text_of(browser.get(LIST))

    def test_no_more_than_five_in_ten_minutes(self, browser: Client) -> None:
        for _ in range(5):
            assert browser.post("/notices/test/").url == LIST
        assert browser.post("/notices/test/").url == SETTINGS
        assert "Several tests were sent just now. Wait 10 minutes." in text_of(
            browser.get(SETTINGS)
        )
        assert Notice.objects.count() == 5

    def test_nowhere_to_send_it(self, browser: Client, trader: User) -> None:
        NoticePreferences.objects.create(user=trader, by_email=False)
        assert browser.post("/notices/test/").url == SETTINGS
        assert "There is no way to send it" in text_of(browser.get(SETTINGS))

    @pytest.mark.parametrize("path", ["test/", "channels/{}/test/"])
    def test_by_post_alone(self, browser: Client, trader: User, path: str) -> None:
        row = add(trader)
        assert browser.get(f"/notices/{path.format(row.pk)}").status_code == 405
        assert not Notice.objects.exists()
