"""What people are told about OKX keys: the way to one, and problems in OKX's menu names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

FIELDS = (
    CredentialField(
        "api_key",
        _("API key"),
        _("36 characters with four hyphens."),
        re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    ),
    CredentialField(
        "secret",
        _("Secret key"),
        _("32 capital letters and digits."),
        re.compile(r"[0-9A-F]{32}"),
    ),
    CredentialField(
        "passphrase",
        _("Passphrase"),
        _(
            "The passphrase you chose when you created this API key. "
            "Not your login or funds password."
        ),
    ),
)

GUIDE = (
    GuideStep(
        _("Open API and connections"),
        _(
            "Sign in at OKX, open your profile, choose API and connections and press "
            "Create API key. For use, choose API trading."
        ),
    ),
    GuideStep(
        _("Choose a name and a passphrase"),
        _(
            "Write the passphrase down: OKX never shows it again and you paste it here. "
            "It is for this key alone."
        ),
    ),
    GuideStep(
        _("Choose the permissions"),
        _(
            "Tick Read and Trade. Trade covers spot and futures; for a futures strategy the "
            "account mode must be Futures mode or higher."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdraw. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(
        _("Add our IP addresses"),
        _(
            "Paste them into IP address allowlist. "
            "A trading key without a list is deleted after 14 days without use."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Confirm and copy"),
        _("Confirm with your codes, then copy API key and secret key."),
    ),
)

WORDS: Mapping[str, Words] = {
    "invalid_key": Words(
        advice=(
            _("Copy the API key again from API and connections at OKX, whole."),
            _("If it is no longer listed there, create a new key and replace it here."),
        )
    ),
    "bad_secret": Words(
        advice=(
            _("Enter API key and secret key again; both must come from the same key."),
            _("If you no longer have the secret key, create a new key at OKX."),
        )
    ),
    "bad_passphrase": Words(
        advice=(
            _(
                "Enter the passphrase you chose when you created this API key. "
                "It is not your login or funds password."
            ),
            _("OKX cannot show or change it: if you no longer know it, create a new key."),
        )
    ),
    "ip_not_allowed": Words(
        advice=(
            _("At OKX, open API and connections and press Edit beside this key."),
            _("Into IP address allowlist, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            _("At OKX, open API and connections and press Edit beside this key."),
            _("Tick Read and Trade. Leave Withdraw unticked."),
            _("Save and test again."),
        )
    ),
    "key_expired": Words(
        cause=_(
            "OKX deletes keys that may trade and have no IP allowlist after 14 days without use."
        ),
        advice=(
            _("Create a new key in API and connections and allow our IPs: {server_ips}"),
            _("Replace the key here. The connection and its history stay."),
        ),
    ),
    "no_ip_restriction": Words(
        cause=_("The key works from any address, and OKX deletes it after 14 days without use."),
        advice=(
            _("At OKX, open API and connections and press Edit beside this key."),
            _("Into IP address allowlist, add: {server_ips}"),
        ),
    ),
    "restricted": Words(
        cause=_(
            "OKX refuses this account, its identity check or this region, or the key is of "
            "another site or of demo trading."
        ),
        advice=(
            _("Check at OKX whether your account may trade, and its identity verification."),
            _("Check on which OKX site the key was made, and that it is not for demo trading."),
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            _("At OKX, open API and connections and press Edit beside this key."),
            _("Untick Withdraw, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
}
