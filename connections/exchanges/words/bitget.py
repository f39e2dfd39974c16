"""Bitget: what a key consists of, the way to one, and its problems, in its own menu names."""

from __future__ import annotations

import re

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

EDIT = _("At Bitget, open API Keys and press Edit beside this key.")
REPLACE = _("If that does not help, create a new key in API Keys and replace it here.")

FIELDS = (
    CredentialField(
        "api_key",
        _("API key"),
        _("Bitget calls it Access Key. It usually begins with bg_."),
        re.compile(r"bg_[0-9a-f]{32}"),
    ),
    CredentialField(
        "secret",
        _("Secret key"),
        _("Letters and digits. Bitget shows it once, right after creating the key."),
        re.compile(r"[0-9a-f]{64}"),
    ),
    CredentialField(
        "passphrase",
        _("API passphrase"),
        _(
            "The passphrase you chose when you created this API key, 8 to 32 letters and "
            "digits. Not your login or trading password."
        ),
    ),
)

GUIDE = (
    GuideStep(
        _("Open API management"),
        _(
            "Sign in at Bitget, open your profile, choose API Keys and press Create API Key. "
            "Choose a system-generated key, not an RSA key."
        ),
    ),
    GuideStep(
        _("Choose a note and a passphrase"),
        _("Write the passphrase down: Bitget never shows it again and you paste it here."),
    ),
    GuideStep(_("Bind our IP addresses"), _("Paste them into Bind IP address."), True),
    GuideStep(
        _("Choose the rights"),
        _(
            "Choose Read-write. With a Unified Account, tick Unified account management and "
            "Unified account trade. With a Classic Account, tick Spot trade, and Futures "
            "orders and holdings only if you will run a futures strategy."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdraw. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(_("Confirm and copy"), _("Confirm with your codes, then copy key and secret.")),
)

WORDS = {
    "invalid_key": Words(
        advice=(_("At Bitget, open API Keys and copy the key again, whole."), REPLACE),
    ),
    "bad_secret": Words(
        advice=(_("Enter API key and secret key again, both from the same key."), REPLACE),
    ),
    "bad_passphrase": Words(
        advice=(_("Enter the passphrase you chose for this API key, not a password."), REPLACE)
    ),
    "ip_not_allowed": Words(
        advice=(
            EDIT,
            _("Under Bind IP address, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            EDIT,
            _(
                "Choose Read-write and tick Unified account management and trade, or for a "
                "Classic Account Spot trade (for futures, orders and holdings). Not Withdraw."
            ),
            _("Save and test again."),
        )
    ),
    "restricted": Words(
        cause=_("Bitget refuses this account, this region, or this kind of account."),
        advice=(_("Sign in at Bitget and look for a notice about your account or two-factor."),),
    ),
    "key_expired": Words(
        advice=(_("Create a new key in API Keys and bind our addresses: {server_ips}"),)
    ),
    "withdrawal_enabled": Words(
        advice=(
            EDIT,
            _("Untick Withdraw, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
}
