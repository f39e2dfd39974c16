"""KuCoin: what a key consists of, the way to one, and its problems, in its own menu names."""

from __future__ import annotations

import re

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

FIELDS = (
    CredentialField(
        "api_key", _("API key"), _("24 letters and digits."), re.compile(r"[0-9a-f]{24}")
    ),
    CredentialField(
        "secret",
        _("Secret"),
        _("36 characters with four hyphens. KuCoin shows it once."),
        re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    ),
    CredentialField(
        "passphrase",
        _("API passphrase"),
        _(
            "The passphrase you chose when you created this API key. "
            "Not your login or trading password."
        ),
    ),
)

GUIDE = (
    GuideStep(
        _("Open API management"),
        _(
            "Sign in at KuCoin, open your profile, choose API Management and press "
            "Create API. Choose API Trading."
        ),
    ),
    GuideStep(
        _("Choose a name and an API passphrase"),
        _(
            "Write the passphrase down: KuCoin never shows it again and you paste it here. "
            "It is for this key alone."
        ),
    ),
    GuideStep(
        _("Choose the rights"),
        _(
            "General is always on. Tick Spot Trading. "
            "Tick Futures Trading only if you will run a futures strategy."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdrawal. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(
        _("Restrict it to our IP addresses"),
        _(
            "Under IP Restriction choose Yes and paste them. "
            "A trading key without a list is removed after 30 days without use."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Confirm and copy"),
        _(
            "Confirm with your trading password, e-mail and two-factor codes, "
            "then copy API key and secret."
        ),
    ),
)

WORDS = {
    "bad_passphrase": Words(
        title=_("Wrong passphrase or secret"),
        cause=_(
            "KuCoin did not accept the passphrase of this API key. "
            "A wrong secret spoils the passphrase too, so it can be either."
        ),
    ),
    "ip_not_allowed": Words(
        advice=(
            _("At KuCoin, open API Management and press Edit beside this key."),
            _("Under IP Restriction, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            _("At KuCoin, open API Management and press Edit beside this key."),
            _(
                "Tick General and Spot Trading (Futures Trading for futures strategies). "
                "Leave Withdrawal unticked."
            ),
            _("Save and test again."),
        )
    ),
    "restricted": Words(
        cause=_("KuCoin refuses this account or this region, or the key is of another site."),
        advice=(
            _("Check that the key was made on www.kucoin.com and not on a regional site."),
            _("Check at KuCoin whether your account may trade, and its identity check."),
        ),
    ),
    "key_expired": Words(
        cause=_(
            "KuCoin deletes keys whose time has ended, and trading keys without an IP list "
            "after 30 days without use."
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            _("At KuCoin, open API Management and press Edit beside this key."),
            _("Untick Withdrawal, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
}
