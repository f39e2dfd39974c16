"""What the address of a chat service means, and one message to it.

The address is a secret: no text of it, and none of apprise's own, is in what this raises.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from . import outbound_hosts
from .chat_services import BY_CODE as BY_CODE
from .chat_services import SERVICES, Service, by_plain_scheme, by_scheme, rewritten

LONGEST = 1000  # characters of an address
LONGEST_TEXT = 3000  # characters of a message: the rest is on our own page
MOST_TARGETS = 3
SECONDS = 12.0  # for all requests of one message
# Known options that read files or would change how a message is sent.
FILES = {
    "template",
    "attach",
    "attachment",
    "attach-as",
    "include",
    "config",
    "image",
    "avatar_url",
}
CONDUCT = {"verify", "redirect", "cto", "rto", "retry", "wait", "optional", "store", "format"}
CONDUCT |= {"overflow", "emojis", "tz", "method", "proxy"}
# Headers that the request itself decides.
NOT_YOURS = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te"}
NOT_YOURS |= {"upgrade", "expect", "trailer", "proxy-authorization", "user-agent", "content-type"}


class Refused(Exception):
    """The address cannot be used. The sentence says what to change; `example` how it may look."""

    def __init__(self, sentence: Any, example: str = "") -> None:
        super().__init__("the address of a chat service cannot be used")
        self.sentence, self.example = str(sentence), example


class NotSent(Exception):
    """Nobody got the message; `problem` is a code of delivery_words.py."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Chat:
    """One address, understood. Nothing has been sent or asked."""

    def __init__(self, service: Service, plugin: Any) -> None:
        self.service, self._plugin = service, plugin

    def send(self, title: str, text: str, link: str = "", *, seconds: float = SECONDS) -> None:
        """Raises NotSent."""
        from . import outbound

        title, text = _quiet(title), self._fitting(title, _quiet(text), link)
        with outbound.visiting(seconds) as visit:
            try:
                sent = self._plugin.notify(**self.service.written(title, text))
            except Exception:
                # Whatever it is: its text may hold the address.
                raise NotSent(visit.problem or "unexpected") from None
        if not sent:
            raise NotSent(visit.problem or "unexpected")

    def _fitting(self, title: str, text: str, link: str) -> str:
        """What this service takes at once, with the link to the rest at its end."""
        end = f"\n\n{link}" if link else ""
        room = min(int(self._plugin.body_maxlen), LONGEST_TEXT) - len(title) - len(end) - 10
        if len(text) > room:
            text = text[:room].rsplit("\n", 1)[0].rstrip() + "\n…"
        return text + end


def _quiet(text: str) -> str:
    """Names that people gave must not call everyone in a room."""
    text = re.sub(r"@(?=(everyone|here|channel|all|room)\b)", "@\u200b", text, flags=re.IGNORECASE)
    return re.sub(r"<(?=[@#!])", "<\u200b", text)


def understood(address: str) -> Chat:
    """Raises Refused. Asks nobody anything."""
    address = address.strip()
    _must_be_one_piece(address)
    service, values = _parsed(address)
    _must_have_no_more_options(service, values)
    plugin = _plugin(service, values)
    if fault := service.fault(plugin):
        raise Refused(fault, service.example)
    if len(plugin) > MOST_TARGETS:
        raise Refused(_("Name one chat. For another one, add it as a service of its own."))
    private = service.host and outbound_hosts.names_inside(str(plugin.host or ""))
    if private and not settings.ALLOW_PRIVATE_NOTICE_HOSTS and not _is_named_by_apprise(plugin):
        raise Refused(
            _(
                "That host is in a private network, where BackFuture does not send. Use an address "
                "that can be reached from the internet."
            ),
            service.example,
        )
    return Chat(service, plugin)


def _must_be_one_piece(address: str) -> None:
    if len(address) > LONGEST:
        raise Refused(_("That is too long for an address. Copy the address alone."))
    if not address.isprintable() or re.search(r"\s", address):
        raise Refused(_("There is a blank or a line break in it. Copy the address as one piece."))
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", address):
        raise Refused(
            _("This is no whole address: it must begin with a name and ://. See the list below."),
            SERVICES[0].example,
        )


def _parsed(address: str) -> tuple[Service, dict[str, Any]]:
    scheme = address.partition(":")[0].lower()
    if scheme == "https":
        return _copied(address)
    if service := by_scheme(scheme):
        return service, _values(service, address)
    plain = by_plain_scheme(scheme)
    if scheme == "http":
        raise Refused(_("Unencrypted addresses are not used. Begin with https:// instead."))
    if plain is None:
        raise Refused(
            _("BackFuture cannot send there. It can send to: %(services)s.")
            % {"services": ", ".join(service.name for service in SERVICES)}
        )
    if settings.ALLOW_PRIVATE_NOTICE_HOSTS:
        return plain, _values(plain, address)
    raise Refused(
        _("That would be sent unencrypted. Begin with %(secure)s:// instead of %(plain)s://.")
        % {"secure": plain.schemes[0], "plain": scheme}
    )


def _copied(address: str) -> tuple[Service, dict[str, Any]]:
    """A webhook as its service shows it."""
    for service in SERVICES:
        try:
            values = _class(service).parse_native_url(address)
        except Exception:
            raise _malformed(service) from None
        if values:
            return service, values
    try:
        for service, other in rewritten(address):
            return service, _values(service, other)
    except ValueError:
        pass
    raise Refused(
        _(
            "No service is known by this address. Is it a webhook of your own? Then begin with "
            "jsons:// instead of https://."
        ),
        "jsons://example.com/a/path",
    )


def _values(service: Service, address: str) -> dict[str, Any]:
    try:
        values = _class(service).parse_url(address)
    except Exception:
        values = None
    if not values:
        raise _malformed(service)
    return dict(values)


def _must_have_no_more_options(service: Service, values: dict[str, Any]) -> None:
    """By apprise's own reading of the address, not by another one's."""
    names = set(values.get("qsd") or ())
    names |= {f"{sign}{name}" for sign in "-:" for name in values.get(f"qsd{sign}") or ()}
    headers = {name for name in names if name.startswith("+")}
    if headers and not service.headers:
        raise Refused(_("Headers cannot be given for this service. Remove them."), service.example)
    for name in values.get("qsd+") or ():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name) or name.lower() in NOT_YOURS:
            raise Refused(_("One of the headers cannot be set. Remove it."), service.example)
    more = names - headers - service.options
    if more & FILES:
        raise Refused(
            _("Options that take a file or a picture are not used. Remove %(option)s= from it.")
            % {"option": min(more & FILES)}
        )
    if more & CONDUCT:
        raise Refused(
            _("How a message is sent is decided here. Remove %(option)s= from the address.")
            % {"option": min(more & CONDUCT)}
        )
    if more and service.options:
        raise Refused(
            _("There is an option in it that is not used. After the ? there may be: %(options)s.")
            % {"options": ", ".join(sorted(service.options))}
        )
    if more:
        raise Refused(_("Options are not used for this service. Remove everything from the ? on."))


def _plugin(service: Service, values: dict[str, Any]) -> Any:
    try:
        plugin = _class(service)(**{**values, "asset": _asset()})
    except Exception:
        # apprise repeats what it was given in its complaint.
        raise _malformed(service) from None
    plugin.verify_certificate, plugin.redirects, plugin.retry = True, False, 0
    plugin.throttle = lambda *_, **__: None  # one message at a time; nothing is waited for
    return plugin


def _malformed(service: Service) -> Refused:
    return Refused(
        _("This is not a whole address of %(service)s. Compare it with the example.")
        % {"service": service.name},
        service.example,
    )


def _is_named_by_apprise(plugin: Any) -> bool:
    """ntfys://topic, without a host, is a topic of ntfy.sh."""
    return getattr(plugin, "mode", "") == "cloud"


def _class(service: Service) -> Any:
    """Loaded when it is needed: it takes a moment, and most pages need none."""
    from . import outbound

    module, name = service.plugin.split(".")
    found = getattr(import_module(f"apprise.plugins.{module}"), name)
    outbound.take_over("apprise")
    return found


def _asset() -> Any:
    """What services show of the sender, and no pictures from elsewhere."""
    from apprise import AppriseAsset

    return AppriseAsset(
        app_id="BackFuture",
        app_desc="BackFuture",
        app_url=settings.SITE_URL,
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        storage_mode="memory",
        secure_logging=True,
    )
