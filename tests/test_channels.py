"""Chat services: which addresses are taken, what is sent there, and that the address, a secret, is
sealed as one."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.db import connection as database

from backfuture.accounts.models import User
from connections import channels, chats, outbound, outbound_hosts, vault
from connections.chat_services import SERVICES
from connections.exchanges.base import Credentials
from connections.models import AccessEvent, NoticeChannel, NoticeDelivery
from connections.notices import NoticePreferences
from tests import making
from tests.chat_site import NAMES, Answer, ChatSite, Names, authority

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ADDRESS = "jsons://chat.site.org/hook/canary7c1f9d"
MARK = "canary7c1f9d"
TITLE, TEXT = "MEXC <b>*main* & co", "It fails.\n\n- first\n- @everyone, <!channel>"
LINK = "https://backfuture.example/connections/1/?a=1&b=2"


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(trust: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatSite]:
    """All chat services of the world, over TLS and under their own names."""
    monkeypatch.setattr(outbound, "CERTIFICATES", str(trust[0]))
    monkeypatch.setattr(outbound_hosts, "is_public", lambda text: text == "127.0.0.1")
    names = Names()
    monkeypatch.setattr(outbound_hosts, "lookup", names)
    with ChatSite(trust[1]) as running:
        for name in NAMES:
            names[name] = [[("127.0.0.1", running.port)]]
        yield running


def at_site(example: str) -> str:
    example = example.replace("example.logic.azure.com", "a.logic.azure.com")
    for host in ("push.example.com", "hookshot.example.com", "chat.example.com", "example.com"):
        example = example.replace(f"//{host}", "//chat.site.org").replace(
            f"@{host}", "@chat.site.org"
        )
    return example


def refusal(address: str) -> chats.Refused:
    with pytest.raises(chats.Refused) as refused:
        chats.understood(address)
    return refused.value


# Where each is sent, and the part of it that holds the text.
SENT_TO = {
    "telegram": ("api.telegram.org", "/bot123456789:AAExampleExampleExample/sendMessage"),
    "discord": ("discord.com", "/api/webhooks/123456789/ExampleExample"),
    "slack": ("hooks.slack.com", "/services/T1EXAMPLE/B1EXAMPLE/ExampleExampleExampleExa"),
    "teams": ("a.logic.azure.com", "/workflows/0a1b/triggers/manual/paths/invoke"),
    "ntfy": ("ntfy.sh", "/"),
    "gotify": ("chat.site.org", "/message"),
    "matrix": ("chat.site.org", "/webhook/token"),
    "mattermost": ("chat.site.org", "/hooks/exampleexampleexampleexamp"),
    "rocketchat": ("chat.site.org", "/hooks/exampleExample1/exampleExample2"),
    "pushover": ("api.pushover.net", "/1/messages.json"),
    "webhook": ("chat.site.org", "/a/path"),
}


class TestServices:
    @pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.code)
    def test_message_arrives(self, site: ChatSite, service: Any) -> None:
        chat = chats.understood(at_site(service.example))
        assert chat.service == service
        chat.send(TITLE, TEXT, LINK)
        (got,) = site.received
        host, path = SENT_TO[service.code]
        assert (got.host, got.path.partition("?")[0]) == (host, path)
        body = got.body.decode() if service.code == "pushover" else str(got.json)
        assert "It fails." in body.replace("+", " ")
        assert "BackFuture" in str(got.headers) + body
        for foreign in ("pprise", "github", "caronc"):
            assert foreign not in str(got.headers) + body
        for called in ("@everyone", "<!channel>"):
            assert called not in body

    def test_each_has_its_own_words(self) -> None:
        assert set(SENT_TO) == {service.code for service in SERVICES}
        for service in SERVICES:
            assert len(service.code) <= NoticeChannel._meta.get_field("service").max_length
            assert service.how and "://" in service.example

    def test_telegram_gets_html_that_is_whole(self, site: ChatSite) -> None:
        chats.understood("tgram://123456789:AAExample/1").send(TITLE, TEXT, LINK)
        said = site.received[0].json
        assert said["parse_mode"] == "HTML"
        assert said["text"].startswith("<b>MEXC &lt;b&gt;*main* &amp; co</b>")
        assert said["text"].endswith("?a=1&amp;b=2")

    def test_headers_of_a_webhook_are_sent(self, site: ChatSite) -> None:
        chats.understood("jsons://chat.site.org/x?+Authorization=Bearer%20t0k").send(TITLE, TEXT)
        assert site.received[0].headers["Authorization"] == "Bearer t0k"

    @pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.code)
    def test_long_message_is_cut_and_keeps_its_link(self, site: ChatSite, service: Any) -> None:
        text = "\n".join(f"- connection number {number}" for number in range(400))
        chats.understood(at_site(service.example)).send("T", text, "https://b.example/x")
        (got,) = site.received
        assert b"number 1" in got.body.replace(b"+", b" ")
        assert b"number 399" not in got.body.replace(b"+", b" ")
        assert b"b.example" in got.body
        assert len(got.body) < 7000

    @pytest.mark.parametrize(
        ("status", "problem"),
        [(302, "redirected"), (404, "refused"), (429, "too_many"), (500, "their_fault")],
    )
    @pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.code)
    def test_refusal_is_told_by_a_code(
        self, site: ChatSite, service: Any, status: int, problem: str
    ) -> None:
        site.answer = Answer(status, b"", {"Location": "https://chat.site.org/elsewhere"})
        with pytest.raises(chats.NotSent) as not_sent:
            chats.understood(at_site(service.example)).send(TITLE, TEXT)
        assert not_sent.value.problem == problem
        assert not any("elsewhere" in got.path for got in site.received)

    def test_whatever_falls_over_tells_a_code_alone(
        self, site: ChatSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chat = chats.understood(ADDRESS)

        def fall_over(**_: Any) -> None:
            raise RuntimeError(f"cannot post to {ADDRESS}")

        monkeypatch.setattr(chat._plugin, "notify", fall_over)
        with pytest.raises(chats.NotSent) as not_sent:
            chat.send(TITLE, TEXT)
        assert not_sent.value.problem == "unexpected"
        assert not_sent.value.__suppress_context__
        assert MARK not in repr(not_sent.value)


class TestRefusedAddresses:
    @pytest.mark.parametrize(
        ("address", "says"),
        [
            ("", "no whole address"),
            ("my phone", "blank"),
            ("tgram", "no whole address"),
            ("://x", "no whole address"),
            ("tgram://123:AA\n/1", "line break"),
            ("jsons://" + "a" * 1000 + ".com", "too long"),
            ("foo://bar", "It can send to: Telegram"),
            ("mailto://user:pass@gmail.com", "It can send to"),
            ("syslog://", "no whole address"),
            ("file:///etc/passwd", "It can send to"),
            ("dbus://", "no whole address"),
            ("http://discord.com/api/webhooks/1/a", "Begin with https://"),
            ("json://example.com/x", "Begin with jsons:// instead of json://"),
            ("ntfy://example.com/x", "Begin with ntfys://"),
            ("gotify://example.com/x", "Begin with gotifys://"),
            ("https://example.com/x", "begin with jsons://"),
            ("https://discord.com/api/webhooks/", "begin with jsons://"),
            ("tgram://123456789:AAExample/", "chat is missing"),
            ("tgram://nonsense/1", "not a whole address of Telegram"),
            ("discord://1", "not a whole address of Discord"),
            ("slack://T1/B1", "not a whole address of Slack"),
            ("pover://user", "not a whole address of Pushover"),
            ("gotifys://example.com", "not a whole address of Gotify"),
            ("rockets://user:password@example.com/room", "Only an incoming webhook"),
            ("rockets://user:password@example.com/room?mode=basic", "not used"),
            ("matrixs://user:password@example.com/#room", "?mode=hookshot"),
            ("mmosts://team@example.com/token/?mode=bot", "not used"),
            ("tgram://123456789:AAExample/1/2/3/4", "Name one chat"),
        ],
    )
    def test_sentence_says_what_to_change(self, address: str, says: str) -> None:
        assert says in refusal(address).sentence

    @pytest.mark.parametrize(
        ("option", "says"),
        [
            ("template=/etc/passwd", "take a file"),
            ("template=http://127.0.0.1/x", "take a file"),
            ("TEMPLATE=/etc/passwd", "take a file"),
            ("attach=file:///etc/passwd", "take a file"),
            ("include=yes", "take a file"),
            ("config=/etc/passwd", "take a file"),
            ("avatar_url=http://127.0.0.1/", "take a file"),
            ("verify=no", "is decided here"),
            ("redirect=yes", "is decided here"),
            ("format=markdown", "is decided here"),
            ("rto=600", "is decided here"),
            ("cto=600", "is decided here"),
            ("retry=9", "is decided here"),
            ("wait=900", "is decided here"),
            ("optional=yes", "is decided here"),
            ("overflow=split", "is decided here"),
            ("store=yes", "is decided here"),
            ("-a=b", ""),
            (":message=attachments", ""),
            ("canary7c1f9d", ""),
        ],
    )
    @pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.code)
    def test_option_that_reads_files_or_changes_conduct_is_refused(
        self, service: Any, option: str, says: str
    ) -> None:
        together = "&" if "?" in service.example else "?"
        refused = refusal(service.example + together + option)
        if "://hooks" not in refused.sentence and "No service is known" not in refused.sentence:
            assert says in refused.sentence
        assert MARK not in refused.sentence + refused.example

    @pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "X%0d%0aY"])
    def test_header_that_the_request_decides_is_refused(self, name: str) -> None:
        assert "headers" in refusal(f"jsons://example.com/?+{name}=x").sentence

    def test_headers_are_for_webhooks_alone(self) -> None:
        assert "Headers cannot" in refusal("gotifys://example.com/token?+X-Y=z").sentence

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "10.0.0.1", "[::1]", "localhost", "2130706433", "nas.local", "router"]
    )
    @pytest.mark.parametrize("form", ["jsons://{}/x", "gotifys://{}/token", "mmosts://{}/token"])
    def test_host_in_a_private_network_is_refused(self, form: str, host: str) -> None:
        assert "private network" in refusal(form.format(host)).sentence

    @pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.code)
    def test_nothing_that_was_typed_is_repeated(self, service: Any) -> None:
        """Not in the sentence, not in the exception: apprise itself repeats it."""
        scheme = service.schemes[0]
        for address in (
            f"{scheme}://{MARK}",
            f"{scheme}://{MARK}/{MARK}?{MARK}={MARK}",
            f"{scheme}://{MARK}:{MARK}@127.0.0.1/{MARK}",
            f"{scheme}://{MARK} {MARK}",
            f"https://{MARK}.example.com/{MARK}?{MARK}",
        ):
            try:
                chats.understood(address)
            except chats.Refused as refused:
                assert MARK not in refused.sentence + refused.example + repr(refused)
                assert refused.__cause__ is None


@pytest.mark.django_db
class TestKeeping:
    def test_address_is_sealed_like_a_key(self, trader: User) -> None:
        channel = channels.add(owner=trader, name="Phone", address=f" {ADDRESS}\n", now=NOW)
        assert channel.service == "webhook"
        stored = raw(channel)
        assert stored.startswith(b"gAAAA") and MARK.encode() not in stored
        assert opened(NoticeChannel.objects.get()) == ADDRESS
        shown = repr(vars(channel)) + serializers.serialize("json", [channel])
        assert MARK not in shown and "[sealed]" in shown

    def test_web_cannot_open_it(self, trader: User, settings: Any) -> None:
        channel = channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        settings.ROLE = "web"
        with pytest.raises(vault.SealedError, match="web process"):
            opened(channel)

    def test_opening_is_recorded_first(self, trader: User) -> None:
        channel = channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        channel.owner_id = 0  # so that it does not open
        with pytest.raises(vault.SealedError):
            opened(channel)
        assert AccessEvent.objects.filter(why="a test of the tests").count() == 1

    def test_no_address_passes_as_a_key_and_no_key_as_an_address(
        self, trader: User, mexc: Any
    ) -> None:
        """Each box says what it is for, even where owner, row and revision are the same."""
        channel = channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        event = AccessEvent(why="a test of the tests")
        assert channel.sealed is not None
        with pytest.raises(vault.SealedError), vault.opened(channel.sealed, channel, event=event):
            pass
        key = making.connection(trader, mexc, "Mine").credentials.get()
        sealed = vault.seal(Credentials("key", "secret", ""), key)
        event = AccessEvent(why="a test of the tests")
        with pytest.raises(vault.SealedError), vault.opened_text(sealed, key, event=event):
            pass

    def test_address_of_another_channel_does_not_open(self, trader: User, stranger: User) -> None:
        mine = channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        for owner in (trader, stranger):
            other = channels.add(owner=owner, name="Other", address=ADDRESS, now=NOW)
            other.sealed = mine.sealed
            with pytest.raises(vault.SealedError, match="another row"):
                opened(other)

    def test_name_is_taken_once_per_person(self, trader: User, stranger: User) -> None:
        channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        channels.add(owner=stranger, name="Phone", address=ADDRESS, now=NOW)
        with pytest.raises(channels.NameTaken):
            channels.add(owner=trader, name="pHONE", address=ADDRESS, now=NOW)
        assert NoticeChannel.objects.count() == 2

    def test_there_is_a_most(self, trader: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(channels, "MOST", 1)
        channels.add(owner=trader, name="One", address=ADDRESS, now=NOW)
        with pytest.raises(channels.TooMany):
            channels.add(owner=trader, name="Two", address=ADDRESS, now=NOW)

    def test_refused_address_saves_nothing(self, trader: User) -> None:
        with pytest.raises(chats.Refused):
            channels.add(owner=trader, name="One", address="json://example.com", now=NOW)
        assert not NoticeChannel.objects.exists()
        assert not AccessEvent.objects.filter(kind="channel_added").exists()

    def test_acts_are_recorded_without_the_name(self, trader: User) -> None:
        channel = channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        channels.remove(channel, by=trader)
        assert not NoticeChannel.objects.exists()
        events = AccessEvent.objects.filter(owner=trader, kind__startswith="channel_")
        assert [(event.kind, event.actor) for event in events.order_by("pk")] == [
            ("channel_added", trader),
            ("channel_removed", trader),
        ]
        assert {event.why for event in events} == {"Webhook of your own"}
        channels.remove(channel, by=trader)  # in another window
        assert events.count() == 2

    def test_nothing_of_it_is_logged(
        self,
        trader: User,
        site: ChatSite,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        site.answer = Answer(500, b"no")
        for address in (
            ADDRESS,
            f"jsons://chat.site.org:1/{MARK}",
            f"jsons://nobody.site.org/{MARK}",
        ):
            with pytest.raises(chats.NotSent):
                chats.understood(address).send(TITLE, TEXT)
        for bad in (f"slack://{MARK}", f"discord://{MARK}", f"tgram://123:{MARK}/?verify={MARK}"):
            refusal(bad)
        assert MARK not in caplog.text
        # What is pinned is what would tell it.
        monkeypatch.setattr(logging.getLogger("apprise"), "level", logging.DEBUG)
        logging.getLogger("apprise").manager._clear_cache()  # type: ignore[attr-defined]
        refusal(f"slack://{MARK}~/{MARK}~/x")
        assert MARK in caplog.text


@pytest.mark.django_db
class TestTests:
    def test_every_way_gets_one_at_once_even_in_quiet_hours(self, trader: User) -> None:
        NoticePreferences.objects.create(
            user=trader, quiet_from="00:00", quiet_until="23:59", urgent_in_quiet=False
        )
        channel = channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        notice = channels.send_test(trader, now=NOW)
        found = notice.deliveries.values_list("channel", "due_at", "status")
        assert set(found) == {(None, NOW, "waiting"), (channel.pk, NOW, "waiting")}
        assert channels.send_test(trader, now=NOW).key != notice.key

    def test_one_service_alone(self, trader: User) -> None:
        channel = channels.add(owner=trader, name="Phone", address=ADDRESS, now=NOW)
        notice = channels.send_test(trader, now=NOW, channel=channel)
        assert [one.channel for one in notice.deliveries.all()] == [channel]

    def test_mail_that_is_switched_off_gets_none(self, trader: User) -> None:
        NoticePreferences.objects.create(user=trader, by_email=False)
        with pytest.raises(channels.NoWay):
            channels.send_test(trader, now=NOW)
        assert not NoticeDelivery.objects.exists()

    def test_five_in_ten_minutes(self, trader: User, stranger: User) -> None:
        for minute in range(5):
            channels.send_test(trader, now=NOW + timedelta(minutes=minute))
        with pytest.raises(channels.TooSoon) as soon:
            channels.send_test(trader, now=NOW + timedelta(minutes=5))
        assert soon.value.seconds == 300
        channels.send_test(stranger, now=NOW + timedelta(minutes=5))
        channels.send_test(trader, now=NOW + timedelta(minutes=10))
        with pytest.raises(channels.TooSoon):
            channels.send_test(trader, now=NOW + timedelta(minutes=10))

    def test_those_of_a_clock_that_was_ahead_count_for_nothing(self, trader: User) -> None:
        for _ in range(5):
            channels.send_test(trader, now=NOW + timedelta(days=3))
        assert channels.send_test(trader, now=NOW)


def opened(channel: NoticeChannel) -> str:
    assert channel.sealed is not None
    event = AccessEvent(why="a test of the tests")
    with vault.opened_text(channel.sealed, channel, event=event) as address:
        return address


def raw(channel: NoticeChannel) -> bytes:
    with database.cursor() as cursor:
        cursor.execute("SELECT sealed FROM connections_noticechannel")
        return bytes(cursor.fetchone()[0])
