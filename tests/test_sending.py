"""Notices on their way: real mails to a real server, real requests to a real chat service, out of
real rows."""

from __future__ import annotations

import email
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from email.message import Message
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.db import connection as database
from django.test import Client

from backfuture.accounts.models import User
from connections import channels, mails, notice_making, sending
from connections.models import AccessEvent, Notice, NoticeChannel, NoticeDelivery
from connections.notices import Kind, NoticePreferences
from tests import making
from tests.chat_site import Answer, ChatSite, listening
from tests.running import free_port
from tests.test_leaks import every_table

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MARK = "canary5e0b17"
MINUTE = timedelta(minutes=1)
at_once = pytest.mark.django_db(transaction=True, serialized_rollback=True)


class Post:
    """A mail server: what it took, and what it thinks of what."""

    def __init__(self) -> None:
        self.took: list[Message] = []
        self.visits = 0
        self.refuses: set[str] = set()
        self.on_data: Callable[[], None] = lambda: None
        self.port = free_port()
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.visits += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.took.append(email.message_from_bytes(envelope.content))
        self.on_data()
        return "250 taken"


@pytest.fixture
def post(settings: Any) -> Iterator[Post]:
    made = Post()
    made.controller.start()
    mail_server(settings, made.port)
    yield made
    made.controller.stop()


@pytest.fixture
def chat(settings: Any) -> Iterator[ChatSite]:
    settings.ALLOW_PRIVATE_NOTICE_HOSTS = True
    with ChatSite() as running:
        yield running


def mail_server(settings: Any, port: int) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, 1
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False


def channel(owner: User, site: ChatSite, name: str = "Phone") -> NoticeChannel:
    address = f"json://127.0.0.1:{site.port}/{MARK}/{name}"
    return channels.add(owner=owner, name=name, address=address, now=NOW)


def notice(user: User, key: str = "one", **more: Any) -> Notice:
    values = {"subject": "MEXC Main fails", "text": "Why.\n\nWhat to do.", "link": "/connections/"}
    made = notice_making.make(user=user, kind=Kind.BREAK, key=key, now=NOW, **(values | more))
    assert made is not None
    return made


def deliveries() -> list[tuple[str, int, str]]:
    rows = NoticeDelivery.objects.order_by("notice__key", "pk")
    return list(rows.values_list("status", "tries", "problem"))


@pytest.mark.django_db
class TestMail:
    def test_it_arrives(self, post: Post, trader: User, settings: Any) -> None:
        settings.SITE_URL = "https://backfuture.example"
        settings.DEFAULT_FROM_EMAIL = "BackFuture <told@backfuture.example>"
        made = notice(trader, subject="Ünlucky\nBcc: x@example.com")
        assert sending.send_due(now=NOW) == 1
        (got,) = post.took
        subject = email.header.make_header(email.header.decode_header(got["Subject"]))
        assert str(subject) == "[BackFuture] Ünlucky Bcc: x@example.com"
        assert got["Bcc"] is None
        assert (got["To"], got["Auto-Submitted"]) == (trader.email, "auto-generated")
        assert got["Message-ID"] == f"<notice-{made.pk}@backfuture.example>"
        assert got.get_content_type() == "text/plain"
        body = got.get_payload(decode=True).decode().replace("\r\n", "\n")  # type: ignore[union-attr]
        assert body.startswith("Why.\n\nWhat to do.\n\nhttps://backfuture.example/connections/\n")
        assert "https://backfuture.example/notices/settings/" in body
        delivery = NoticeDelivery.objects.get()
        assert (delivery.status, delivery.sent_at, delivery.problem) == ("sent", NOW, "")
        assert delivery.lease_until is None

    def test_it_is_sent_once(self, post: Post, trader: User) -> None:
        notice(trader)
        assert [sending.send_due(now=NOW + MINUTE * n) for n in range(3)] == [1, 0, 0]
        assert len(post.took) == 1

    def test_many_go_over_one_connection(self, post: Post, trader: User, stranger: User) -> None:
        for number in range(12):
            notice(trader if number % 2 else stranger, f"{number:02}")
        assert sending.send_due(now=NOW) == 12
        assert (len(post.took), post.visits) == (12, 1)

    def test_refused_address_keeps_no_other_mail_back(
        self, post: Post, trader: User, stranger: User
    ) -> None:
        post.refuses = {stranger.email}
        for number, user in enumerate([stranger, trader, stranger, trader]):
            notice(user, f"{number}")
        assert sending.send_due(now=NOW) == 2
        assert [got["To"] for got in post.took] == [trader.email] * 2
        refused = ("waiting", 1, "mail_refused")
        assert deliveries() == [refused, ("sent", 1, ""), refused, ("sent", 1, "")]

    @pytest.mark.parametrize("how", ["refused", "silent", "hangs up"])
    def test_server_that_is_away_costs_one_try_and_little_time(
        self, trader: User, chat: ChatSite, settings: Any, how: str
    ) -> None:
        channel(trader, chat)
        for number in range(5):
            notice(trader, f"{number}")
        with listening() as (port, taken):
            mail_server(settings, port)
            if how == "refused":
                mail_server(settings, 1)
            if how == "hangs up":
                threading.Thread(target=hang_up, args=(taken,), daemon=True).start()
            assert sending.send_due(now=NOW) == 5  # to the chat service
        found = list(NoticeDelivery.objects.filter(channel=None).order_by("pk"))
        assert [one.tries for one in found] == [1, 0, 0, 0, 0]
        assert (found[0].problem, found[0].due_at) == ("mail_away", NOW + MINUTE)

    def test_what_waited_goes_when_the_server_is_back(
        self, trader: User, settings: Any, request: pytest.FixtureRequest
    ) -> None:
        mail_server(settings, 1)
        notice(trader)
        assert sending.send_due(now=NOW) == 0
        post = request.getfixturevalue("post")
        assert sending.send_due(now=NOW + timedelta(seconds=59)) == 0
        assert sending.send_due(now=NOW + MINUTE) == 1
        assert len(post.took) == 1

    def test_whoever_was_shut_out_is_told_nothing(self, post: Post, trader: User) -> None:
        notice(trader)
        User.objects.update(is_active=False)
        assert sending.send_due(now=NOW) == 0
        assert (post.took, deliveries()) == ([], [("given_up", 1, "gone")])

    def test_memory_backend_of_other_tests_is_used_the_same_way(
        self, trader: User, mailoutbox: list[Any]
    ) -> None:
        notice(trader)
        assert sending.send_due(now=NOW) == 1
        assert [got.to for got in mailoutbox] == [[trader.email]]


def hang_up(taken: list[Any]) -> None:
    for _ in range(200):
        for each in taken:
            with suppress(OSError):
                each.close()
        time.sleep(0.02)


@pytest.mark.django_db
class TestChat:
    def test_it_arrives_beside_the_mail(self, post: Post, chat: ChatSite, trader: User) -> None:
        phone = channel(trader, chat)
        notice(trader)
        assert sending.send_due(now=NOW) == 2
        (got,) = chat.received
        assert got.path == f"/{MARK}/Phone"
        assert got.json["title"] == "MEXC Main fails"
        assert got.json["message"].endswith("What to do.\n\nhttp://127.0.0.1:8000/connections/")
        phone.refresh_from_db()
        assert (phone.worked_at, phone.failed_at, phone.problem) == (NOW, None, "")
        assert deliveries() == [("sent", 1, "")] * 2

    def test_opening_is_recorded_with_its_reason(
        self, post: Post, chat: ChatSite, trader: User
    ) -> None:
        channel(trader, chat)
        notice(trader)
        sending.send_due(now=NOW)
        event = AccessEvent.objects.get(kind="channel_opened")
        assert (event.owner, event.actor, event.why) == (trader, None, "notice")

    def test_waits_grow_and_end(self, post: Post, chat: ChatSite, trader: User) -> None:
        phone = channel(trader, chat)
        chat.answer = Answer(500, b"")
        notice(trader)
        NoticeDelivery.objects.filter(channel=None).delete()
        moment, waits = NOW, []
        while True:
            assert sending.send_due(now=moment) == 0
            row = NoticeDelivery.objects.get()
            if row.status == "given_up":
                break
            assert sending.send_due(now=row.due_at - timedelta(seconds=1)) == 0
            waits.append((row.due_at - moment) / MINUTE)
            moment = row.due_at
        assert waits == [1, 5, 15, 60, 240]
        assert (row.tries, row.problem, len(chat.received)) == (6, "their_fault", 6)
        phone.refresh_from_db()
        assert (phone.failed_at, phone.problem, phone.worked_at) == (NOW, "their_fault", None)
        assert sending.send_due(now=moment + timedelta(days=9)) == 0

    def test_service_that_works_again_is_said_to(
        self, post: Post, chat: ChatSite, trader: User
    ) -> None:
        phone = channel(trader, chat)
        chat.answer = Answer(404, b"")
        notice(trader)
        sending.send_due(now=NOW)
        chat.answer = Answer()
        assert sending.send_due(now=NOW + MINUTE) == 1
        phone.refresh_from_db()
        assert (phone.worked_at, phone.failed_at, phone.problem) == (NOW + MINUTE, None, "")

    def test_retry_waits_for_the_end_of_quiet_hours(
        self, post: Post, chat: ChatSite, trader: User
    ) -> None:
        channel(trader, chat)
        NoticePreferences.objects.create(
            user=trader, quiet_from=clock(12, 1), quiet_until=clock(18), by_email=False
        )
        chat.answer = Answer(500, b"")
        notice(trader, "plain")
        notice(trader, "urgent", urgent=True)
        sending.send_due(now=NOW)
        due = dict(NoticeDelivery.objects.values_list("notice__key", "due_at"))
        assert due == {"plain": NOW.replace(hour=18), "urgent": NOW + MINUTE}

    def test_what_is_made_in_quiet_hours_is_sent_after_them(
        self, post: Post, chat: ChatSite, trader: User
    ) -> None:
        trader.time_zone = "America/Sao_Paulo"  # 9:00 at NOW
        trader.save()
        channel(trader, chat)
        NoticePreferences.objects.create(
            user=trader, quiet_from=clock(22), quiet_until=clock(9, 30)
        )
        notice(trader)
        assert sending.send_due(now=NOW + 29 * MINUTE) == 0
        assert (post.took, chat.received) == ([], [])
        assert sending.send_due(now=NOW + 30 * MINUTE) == 2

    def test_services_that_hang_hold_nobody_up(
        self, post: Post, chat: ChatSite, trader: User, stranger: User, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("connections.outbound.READ_S", 1.0)
        with listening() as (port, taken):
            for number in range(4):
                address = f"json://127.0.0.1:{port}/{number}"
                channels.add(owner=stranger, name=f"{number}", address=address, now=NOW)
            channel(trader, chat)
            for number in range(3):
                notice(stranger, f"s{number}")
                notice(trader, f"t{number}")
            began = time.monotonic()
            assert sending.send_due(now=NOW, seconds=60) == 3 + 6
            assert time.monotonic() - began < 12  # which it takes one after the other
            assert len(taken) == 12
        assert len(chat.received) == 3

    def test_no_run_goes_on_for_ever(self, post: Post, trader: User, monkeypatch: Any) -> None:
        post.on_data = lambda: time.sleep(0.2)
        for number in range(40):
            notice(trader, f"{number:02}")
        sent = sending.send_due(now=NOW, seconds=1)
        assert 1 <= sent < 12
        assert NoticeDelivery.objects.filter(lease_until__isnull=False).count() == 0

    def test_address_that_cannot_be_opened_is_said(
        self, post: Post, chat: ChatSite, trader: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        mine, other = (channel(trader, chat, name) for name in ("Phone", "Other"))
        notice(trader)
        NoticeDelivery.objects.exclude(channel=mine).delete()
        token = NoticeChannel.objects.get(pk=other.pk).sealed
        NoticeChannel.objects.filter(pk=mine.pk).update(sealed=token)
        assert sending.send_due(now=NOW) == 0
        assert deliveries() == [("waiting", 1, "sealed_unreadable")]
        assert str(mine.pk) in caplog.text
        assert chat.received == []

    def test_web_sends_to_no_chat(
        self, post: Post, chat: ChatSite, trader: User, settings: Any
    ) -> None:
        channel(trader, chat)
        notice(trader)
        settings.ROLE = "web"
        assert sending.send_due(now=NOW) == 1  # the mail
        assert chat.received == []

    def test_address_that_became_private_is_not_visited(
        self, post: Post, chat: ChatSite, trader: User, settings: Any
    ) -> None:
        channel(trader, chat)
        notice(trader)
        settings.ALLOW_PRIVATE_NOTICE_HOSTS = False
        sending.send_due(now=NOW)
        assert deliveries()[1] == ("waiting", 1, "not_understood")
        assert chat.connections == 0

    def test_test_of_one_service(self, post: Post, chat: ChatSite, trader: User) -> None:
        channels.send_test(trader, now=NOW, channel=channel(trader, chat))
        assert sending.send_due(now=NOW) == 1
        assert "You asked for this test" in chat.received[0].json["message"]
        assert post.took == []


@pytest.mark.django_db
class TestDying:
    def die(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The worker is killed after the server took the mail and before the row says so."""
        with monkeypatch.context() as patch:
            patch.setattr(sending, "_write", self.killed)
            with pytest.raises(KeyboardInterrupt):
                sending.send_due(now=NOW)

    def killed(self, *_: object) -> None:
        raise KeyboardInterrupt

    def test_nothing_is_lost_and_a_second_mail_is_the_same(
        self, post: Post, trader: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        notice(trader)
        self.die(monkeypatch)
        assert deliveries() == [("waiting", 1, "")]
        assert sending.send_due(now=NOW + timedelta(seconds=60)) == 0  # its lease holds
        assert sending.send_due(now=NOW + timedelta(seconds=61)) == 1
        assert len(post.took) == 2
        assert len({got["Message-ID"] for got in post.took}) == 1

    def test_chat_is_sent_again_too(
        self, post: Post, chat: ChatSite, trader: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        channel(trader, chat)
        notice(trader)
        NoticeDelivery.objects.filter(channel=None).delete()
        self.die(monkeypatch)
        assert sending.send_due(now=NOW + 2 * MINUTE) == 1
        assert len(chat.received) == 2

    def test_what_kills_every_worker_is_given_up(
        self, post: Post, trader: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        notice(trader)
        monkeypatch.setattr(mails.Server, "send", self.killed)
        for number in range(sending.MOST_TRIES):
            with pytest.raises(KeyboardInterrupt):
                sending.send_due(now=NOW + 2 * number * MINUTE)
        assert sending.send_due(now=NOW + timedelta(hours=1)) == 0
        assert deliveries() == [("given_up", sending.MOST_TRIES + 1, "unexpected")]

    def test_worker_that_was_given_up_on_writes_nothing(
        self, post: Post, trader: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        notice(trader)
        late = sending._claim(NoticeDelivery.objects.get().pk, 0, NOW)
        assert late is not None
        assert sending.send_due(now=NOW + 2 * MINUTE) == 1
        assert not sending._write(late, "mail_away", NOW + 3 * MINUTE)
        assert not sending._write(late, "", NOW + 3 * MINUTE)
        assert deliveries() == [("sent", 2, "")]

    def test_notice_deleted_meanwhile_is_no_fault(
        self, post: Post, chat: ChatSite, trader: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        phone = channel(trader, chat)
        notice(trader)
        claim = sending._claim

        def removed_between(pk: int, fence: int, now: datetime) -> NoticeDelivery | None:
            delivery = claim(pk, fence, now)
            NoticeChannel.objects.filter(pk=phone.pk).delete()
            return delivery

        monkeypatch.setattr(sending, "_claim", removed_between)
        assert sending.send_due(now=NOW) == 1  # the mail


@at_once
def test_two_senders_at_once_send_once(
    post: Post, chat: ChatSite, trader: User, stranger: User
) -> None:
    post.on_data = lambda: time.sleep(0.02)
    for user in (trader, stranger):
        channel(user, chat)
        for number in range(8):
            notice(user, f"{number}")
    sent: list[int] = []
    begin, starts = threading.Barrier(3), iter(timedelta(seconds=10 * n) for n in range(3))

    def run() -> None:
        begin.wait(5)
        try:
            sent.append(sending.send_due(now=NOW + next(starts)))
        finally:
            database.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(sent) == 32
    assert len({got["Message-ID"] for got in post.took}) == len(post.took) == 16
    assert len(chat.received) == 16
    assert set(deliveries()) == {("sent", 1, "")}


@pytest.mark.django_db
def test_address_of_a_chat_service_is_nowhere_but_sealed(
    post: Post, chat: ChatSite, trader: User, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """Whatever the service does with it: no log, page, session, row or mail has a byte of it."""
    caplog.set_level(logging.DEBUG)
    phone = channel(trader, chat)
    browser = making.sign_in(Client(), trader)
    answers = [Answer(), Answer(500, b"no"), Answer(302, b"", {"Location": f"/{MARK}"})]
    answers += [Answer(raw=lambda opened: opened.close()), Answer(404, MARK.encode())]
    shown = ""
    for number, answer in enumerate(answers):
        chat.answer = answer
        notice(trader, f"{number}")
        sending.send_due(now=NOW)
        for page in ("/notices/", "/notices/settings/", f"/notices/channels/{phone.pk}/remove/"):
            shown += browser.get(page).content.decode()
        shown += browser.get("/accounts/activity/").content.decode()
    out = capfd.readouterr()
    assert len(chat.received) == len(answers)
    mailed = b"".join(got.as_bytes() for got in post.took)
    everywhere = every_table() + mailed + (shown + caplog.text + out.out + out.err).encode()
    assert MARK.encode() not in everywhere
    assert str(dict(browser.session)).count(MARK) == 0
    assert b"Phone" in everywhere  # proof that the search can find
