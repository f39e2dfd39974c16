"""The chat services that notices are sent to: those that take one plain request over https. How
each is reached is apprise's knowledge; which of its options may be used is decided here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.utils.translation import gettext_lazy as _

Text = Any  # marked for translation


@dataclass(frozen=True)
class Service:
    code: str  # as stored
    name: str
    plugin: str  # module and class within apprise.plugins
    schemes: tuple[str, ...]
    example: str
    how: Text
    options: frozenset[str] = frozenset()
    plain: tuple[str, ...] = ()  # the same without encryption
    headers: bool = False  # takes headers, as +Name=value
    host: bool = False  # the user says which host
    written: Callable[[str, str], dict[str, Any]] = field(default=lambda *said: _plainly(*said))
    fault: Callable[[Any], Text | None] = field(default=lambda plugin: None)


def _options(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _plainly(title: str, text: str) -> dict[str, Any]:
    """As it is: what some services do with * and _ is less harm than links that were escaped."""
    return {"title": title, "body": text}


def _as_text(title: str, text: str) -> dict[str, Any]:
    return {"title": title, "body": text, "body_format": "text"}


def _as_html(title: str, text: str) -> dict[str, Any]:
    """apprise leaves tags in plain text as they are; Telegram refuses what it does not know."""
    body = f"<b>{escape(title)}</b>\n\n{escape(text, quote=False)}"
    return {"title": "", "body": body, "body_format": "html"}


def _needs_a_chat(plugin: Any) -> Text | None:
    """Without one, apprise takes the chat of whoever wrote to the bot last."""
    if not plugin.targets:
        return _("The chat is missing: put its number after the bot's token and a slash.")
    return None


def _needs_a_webhook(plugin: Any) -> Text | None:
    if plugin.mode != "webhook":
        return _("Only an incoming webhook can be used here, no bot and no password.")
    return None


def _needs_matrix_webhook(plugin: Any) -> Text | None:
    if plugin.mode not in {"hookshot", "matrix", "slack"}:
        return _("Only a webhook can be used here. Put ?mode=hookshot at the end of the address.")
    return None


SERVICES: tuple[Service, ...] = (
    Service(
        code="telegram",
        name="Telegram",
        plugin="telegram.NotifyTelegram",
        schemes=("tgram",),
        example="tgram://123456789:AAExampleExampleExample/987654321",
        how=_(
            "Make a bot with @BotFather and write to it once. Here go its token, a slash, and the "
            "number of your chat, which api.telegram.org/bot<token>/getUpdates shows as its id."
        ),
        options=_options("silent topic thread"),
        written=_as_html,
        fault=_needs_a_chat,
    ),
    Service(
        code="discord",
        name="Discord",
        plugin="discord.NotifyDiscord",
        schemes=("discord",),
        example="https://discord.com/api/webhooks/123456789/ExampleExample",
        how=_("Channel settings → Integrations → Webhooks → New webhook → Copy webhook URL."),
        options=_options("thread"),
    ),
    Service(
        code="slack",
        name="Slack",
        plugin="slack.NotifySlack",
        schemes=("slack",),
        example="https://hooks.slack.com/services/T1EXAMPLE/B1EXAMPLE/ExampleExampleExampleExa",
        how=_("Your app → Incoming webhooks → Add new webhook → copy its address."),
        written=_as_text,
    ),
    Service(
        code="teams",
        name="Microsoft Teams",
        plugin="workflows.NotifyWorkflows",
        schemes=("workflow", "workflows"),
        example="https://example.logic.azure.com/workflows/0a1b/triggers/manual/paths/invoke?sig=ab",
        how=_("In the channel: Workflows → Post to a channel when a webhook request is received."),
        options=_options("api-version ver sp sv sig pa powerautomate route routeid"),
        host=True,
    ),
    Service(
        code="ntfy",
        name="ntfy",
        plugin="ntfy.NotifyNtfy",
        schemes=("ntfys",),
        plain=("ntfy",),
        example="ntfys://ntfy.sh/a-topic-nobody-guesses",
        how=_("Whoever knows the topic can read along: choose a long one."),
        options=_options("priority tags xtags token auth"),
        host=True,
    ),
    Service(
        code="gotify",
        name="Gotify",
        plugin="gotify.NotifyGotify",
        schemes=("gotifys",),
        plain=("gotify",),
        example="gotifys://push.example.com/AExampleToken",
        how=_("Apps → Create application → copy its token."),
        options=_options("priority"),
        host=True,
    ),
    Service(
        code="matrix",
        name="Matrix",
        plugin="matrix.NotifyMatrix",
        schemes=("matrixs",),
        plain=("matrix",),
        example="matrixs://token@hookshot.example.com?mode=hookshot",
        how=_("The token of an incoming webhook made by the Hookshot bot."),
        options=_options("mode path"),
        host=True,
        fault=_needs_matrix_webhook,
    ),
    Service(
        code="mattermost",
        name="Mattermost",
        plugin="mattermost.NotifyMattermost",
        schemes=("mmosts",),
        plain=("mmost",),
        example="https://chat.example.com/hooks/exampleexampleexampleexamp",
        how=_("Integrations → Incoming webhooks → Add → copy its address."),
        options=_options("channel channels to"),
        host=True,
        fault=_needs_a_webhook,
    ),
    Service(
        code="rocketchat",
        name="Rocket.Chat",
        plugin="rocketchat.NotifyRocketChat",
        schemes=("rockets",),
        plain=("rocket",),
        example="https://chat.example.com/hooks/exampleExample1/exampleExample2",
        how=_("Workspace → Integrations → New → Incoming → copy its address."),
        options=_options("to"),
        host=True,
        fault=_needs_a_webhook,
    ),
    Service(
        code="pushover",
        name="Pushover",
        plugin="pushover.NotifyPushover",
        schemes=("pover",),
        example="pover://your-user-key@your-application-token",
        how=_("The user key is on your start page; make an application for the token."),
        options=_options("priority sound"),
    ),
    Service(
        code="webhook",
        name="Webhook of your own",
        plugin="custom_json.NotifyJSON",
        schemes=("jsons",),
        plain=("json",),
        example="jsons://example.com/a/path?+Authorization=Bearer%20token",
        how=_("For anything of your own: takes a POST with title and message as JSON."),
        headers=True,
        host=True,
    ),
)
BY_CODE = {service.code: service for service in SERVICES}


def by_scheme(scheme: str) -> Service | None:
    return next((one for one in SERVICES if scheme in one.schemes), None)


def by_plain_scheme(scheme: str) -> Service | None:
    return next((one for one in SERVICES if scheme in one.plain), None)


def rewritten(address: str) -> Iterator[tuple[Service, str]]:
    """What a copied https:// address of a webhook is in apprise's words, where that can be told
    and apprise does not know it."""
    parts = urlsplit(address)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if parts.query or not parts.hostname or path[:1] != ["hooks"]:
        return
    if len(path) == 2 and re.fullmatch(r"[a-z0-9]{20,40}", path[1]):
        yield BY_CODE["mattermost"], f"mmosts://{parts.netloc}/{path[1]}"
    if len(path) == 3 and all(re.fullmatch(r"[A-Za-z0-9]{10,64}", one) for one in path[1:]):
        tokens = "/".join(quote(one, safe="") for one in path[1:])
        yield BY_CODE["rocketchat"], f"rockets://{tokens}@{parts.netloc}/"
