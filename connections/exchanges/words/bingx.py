"""The way to a key at BingX, and its problems in BingX's own menu names."""

from __future__ import annotations

import re
from typing import Final

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

LOOKS_LIKE = re.compile(r"[A-Za-z0-9]{60,90}")

FIELDS = (
    CredentialField(
        "api_key",
        _("API key"),
        _("A long row of letters and digits, about 64 to 86 of them."),
        LOOKS_LIKE,
    ),
    CredentialField(
        "secret",
        _("Secret key"),
        _("As long as the API key. BingX shows it once, right after creating the key."),
        LOOKS_LIKE,
    ),
)

GUIDE: Final = (
    GuideStep(
        _("Open API management"),
        _(
            "Sign in at BingX, open your profile, choose API Management and press Create API. "
            "Have two-factor authentication switched on."
        ),
    ),
    GuideStep(
        _("Choose the rights"),
        _(
            "A new key may only read. Press Edit and tick Spot Trading. "
            "Tick Perpetual Futures Trading only if you will run a futures strategy."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdraw. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(
        _("Bind our IP addresses"),
        _(
            "Paste them into the IP whitelist of the key. "
            "BingX deletes a trading key without one after 14 days without use."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Confirm and copy"),
        _(
            "Save, confirm with your codes, and copy API key and secret key. "
            "The secret is shown only once."
        ),
    ),
)

WORDS: Final = {
    "invalid_key": Words(
        cause=_(
            "BingX does not know this API key. BingX deletes trading keys without an IP "
            "whitelist after 14 days without use."
        ),
        advice=(
            _("At BingX, open API Management and copy the API key again, whole."),
            _("If it is no longer listed there, create a new key with our IP addresses."),
        ),
    ),
    "bad_secret": Words(
        advice=(
            _("Enter API key and secret key again; both must come from the same key."),
            _("BingX shows a secret once only. If you no longer have it, create a new key."),
        ),
    ),
    "ip_not_allowed": Words(
        advice=(
            _("At BingX, open API Management and press Edit beside this key."),
            _("To its IP whitelist, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            _("At BingX, open API Management and press Edit beside this key."),
            _(
                "Tick Read and Spot Trading (Perpetual Futures Trading for futures "
                "strategies). Leave Withdraw unticked."
            ),
            _("Save and test again."),
        )
    ),
    "key_expired": Words(
        cause=_("BingX deletes trading keys without an IP whitelist after 14 days without use."),
    ),
    "restricted": Words(
        cause=_("BingX refuses this account for its region, its kind, or its risk control."),
        advice=(
            _("Check at BingX whether your account may trade, and its identity check."),
            _("Use a key of your main account if this one is of a sub-account."),
        ),
    ),
    "no_ip_restriction": Words(
        cause=_(
            "The key works from any address. BingX deletes such a trading key after 14 days "
            "without use."
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            _("At BingX, open API Management and press Edit beside this key."),
            _("Untick Withdraw, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
}
