"""MEXC: what a key consists of, the way to one, and its problems, in its own menu names."""

from __future__ import annotations

import re

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

FIELDS = (
    CredentialField(
        "api_key",
        _("API key"),
        _("MEXC calls it Access Key. It begins with mx0."),
        re.compile(r"mx0\w{15}"),
    ),
    CredentialField(
        "secret",
        _("Secret key"),
        _("32 letters and digits. MEXC shows it once, right after creating the key."),
        re.compile(r"[0-9a-f]{32}"),
    ),
)

GUIDE = (
    GuideStep(
        _("Open API management"),
        _(
            "Sign in at MEXC, open your profile and choose API Management. "
            "Have two-factor authentication switched on."
        ),
    ),
    GuideStep(
        _("Choose the rights"),
        _(
            "Under Spot, tick View Account Details, View Order Details and Trade. "
            "Tick the Futures rights only if you will run a futures strategy."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdraw. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(
        _("Link our IP addresses"),
        _(
            "Paste them into Link IP Address. "
            "A key without an address list stops working after 90 days."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Create, confirm, copy"),
        _(
            "Enter a note, press Create, confirm with your codes, and copy Access Key and "
            "Secret Key. The secret is shown only once."
        ),
    ),
)

WORDS = {
    "ip_not_allowed": Words(
        advice=(
            _("At MEXC, open API Management and press Edit beside this key."),
            _("Under Link IP Address, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            _("At MEXC, open API Management and press Edit beside this key."),
            _(
                "Under Spot, tick View Account Details, View Order Details and Trade. "
                "Leave Withdraw unticked."
            ),
            _("Save and test again."),
        )
    ),
    "key_expired": Words(
        cause=_("MEXC keys without linked IP addresses expire 90 days after they were made."),
        advice=(
            _("Create a new key in API Management and link our addresses: {server_ips}"),
            _("Replace the key here. The connection and its history stay."),
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            _("At MEXC, open API Management and press Edit beside this key."),
            _("Untick Withdraw, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
}
