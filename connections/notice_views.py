"""Pages about notices: what was sent, what one wants to hear, and by which ways."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from . import channels, chats, gate, notice_pages
from .chat_services import SERVICES
from .models import NoticeChannel
from .notice_forms import ChannelForm, PreferencesForm
from .notices import preferences_of
from .views import own_page


@own_page
@require_safe
def notice_list(request: HttpRequest) -> HttpResponse:
    """What was sent, newest first."""
    page, lines = notice_pages.page_of(request.user, request.GET.get("page"), timezone.now())
    return render(request, "notices/list.html", {"page": page, "lines": lines})


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def notice_settings(request: HttpRequest) -> HttpResponse:
    preferences = preferences_of(request.user)
    preferences.user = request.user  # type: ignore[assignment]
    form = PreferencesForm(request.POST or None, preferences=preferences)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("notices:settings")
    context = {"form": form, "chats": notice_pages.chats_of(request.user)}
    return render(request, "notices/settings.html", context)


@own_page
@require_POST
def test(request: HttpRequest, pk: UUID | None = None) -> HttpResponse:
    """A notice to see whether notices arrive: by one chat service, or by all ways."""
    channel = _own(request, pk) if pk else None
    try:
        channels.send_test(request.user, now=timezone.now(), channel=channel)
        text = _("A test is on its way. Load this page again in a moment to see what came of it.")
        messages.success(request, text)
        return redirect("notices:list")
    except channels.TooSoon as soon:
        minutes = -(-soon.seconds // 60)
        text = ngettext(
            "Several tests were sent just now. Wait %(n)d minute.",
            "Several tests were sent just now. Wait %(n)d minutes.",
            minutes,
        )
        messages.info(request, text % {"n": minutes})
    except channels.NoWay:
        messages.info(request, _("There is no way to send it: switch e-mail on, or add a service."))
    return redirect("notices:settings")


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def new_channel(request: HttpRequest) -> HttpResponse:
    confirmation = gate.confirmation(request)
    if confirmation.refusal:
        return _refused(request, confirmation)
    form = ChannelForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        passes = confirmation.passes()
        if _is_usable(form) and passes and _added(request, form):
            return redirect("notices:settings")
    context = {"form": form, "services": SERVICES, "confirmation": confirmation}
    return render(request, "notices/new_channel.html", context)


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def remove_channel(request: HttpRequest, pk: UUID) -> HttpResponse:
    channel = _own(request, pk)
    confirmation = gate.confirmation(request)
    if confirmation.refusal:
        return _refused(request, confirmation)
    if request.method == "POST" and confirmation.passes():
        channels.remove(channel, by=request.user)
        text = _(
            "“%(name)s” was removed. If nothing else uses its webhook or token, delete that at the "
            "service too."
        )
        messages.success(request, text % {"name": channel.name})
        return redirect("notices:settings")
    context = {
        "channel": channel,
        "service": channels.service_name(channel.service),
        "confirmation": confirmation,
    }
    return render(request, "notices/remove_channel.html", context)


def _own(request: HttpRequest, pk: UUID) -> NoticeChannel:
    mine = NoticeChannel.objects.filter(owner_id=request.user.pk).defer("sealed")
    return get_object_or_404(mine.select_related("owner"), pk=pk)


def _is_usable(form: ChannelForm) -> bool:
    """Says all that is wrong with it, whether or not it is really the owner."""
    valid = form.is_valid()
    if "address" in form.cleaned_data:
        try:
            chats.understood(form.cleaned_data["address"])
        except chats.Refused as refused:
            form.add_error("address", _sentence(refused))
            return False
    return valid


def _added(request: HttpRequest, form: ChannelForm) -> bool:
    values = form.cleaned_data
    now = timezone.now()
    try:
        channel = channels.add(
            owner=request.user, name=values["name"], address=values["address"], now=now
        )
    except channels.NameTaken:
        form.add_error("name", _("You already have a chat service of this name."))
    except channels.TooMany:
        form.add_error(None, _("You have as many as one may have. Remove one first."))
    except chats.Refused as refused:
        form.add_error("address", _sentence(refused))
    else:
        messages.success(request, _added_text(channel))
        return True
    return False


def _added_text(channel: NoticeChannel) -> str:
    text = _("“%(name)s” was added. Send it a test to see that notices arrive.")
    return text % {"name": channel.name}


def _sentence(refused: chats.Refused) -> str:
    if not refused.example:
        return refused.sentence
    example = _("Example: %(example)s") % {"example": refused.example}
    return f"{refused.sentence} {example}"


def _refused(request: HttpRequest, confirmation: gate.Confirmation) -> HttpResponse:
    status = 403 if request.method == "POST" else 200
    context = {"refusal": confirmation.refusal}
    return render(request, "notices/refused.html", context, status=status)
