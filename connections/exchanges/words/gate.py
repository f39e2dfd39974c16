"""Gate.io: what a key consists of, the way to one, and its problems, in its own menu names."""

from __future__ import annotations

import re

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

EDIT = _("At Gate.io, open API Management and press Edit beside this key.")

FIELDS = (
    CredentialField(
        "api_key",
        _("API key"),
        _("Letters and digits of an APIv4 key. APIv2 keys do not work."),
        re.compile(r"[0-9a-f]{32}"),
    ),
    CredentialField(
        "secret",
        _("Secret"),
        _("Longer than the key. Gate.io shows it once, right after creating the key."),
        re.compile(r"[0-9a-f]{64}"),
    ),
)

GUIDE = (
    GuideStep(
        _("Open API management"),
        _(
            "Sign in at Gate.io, open your profile, choose API Management and press "
            "Create API Key. Choose API v4 Key."
        ),
    ),
    GuideStep(
        _("Choose the rights"),
        _(
            "Tick Account with Read Only, so that the key's rights can be shown here, and "
            "Spot Trade with Read and Write. Tick Perpetual Futures with Read and Write only "
            "if you will run a futures strategy."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdrawal. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(
        _("Restrict it to our IP addresses"),
        _(
            "Under IP Permissions choose to bind IP addresses and paste them. "
            "A key without an address list stops working after 90 days."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Confirm and copy"),
        _("Confirm with your codes, then copy key and secret. Changes take up to 5 minutes."),
    ),
)

WORDS = {
    "invalid_key": Words(
        cause=_("Gate.io does not know this key, or it is an APIv2 key."),
        advice=(
            _("At Gate.io, open API Management and copy the APIv4 key again, whole."),
            _("A key made a moment ago works after up to 5 minutes. Then test again."),
        ),
    ),
    "bad_secret": Words(
        advice=(
            _("Enter key and secret again; both must come from the same key."),
            _("Gate.io shows a secret once only. If you no longer have it, create a new key."),
        )
    ),
    "ip_not_allowed": Words(
        advice=(
            EDIT,
            _("Under IP Permissions, add: {server_ips}"),
            _("Save, wait 5 minutes, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            EDIT,
            _(
                "Tick Account, and Spot Trade with Read and Write (Perpetual Futures for "
                "futures strategies). Leave Withdrawal unticked."
            ),
            _("Save, wait 5 minutes, and test again."),
        )
    ),
    "restricted": Words(
        cause=_("Gate.io refuses this region, or the account for this product is not opened."),
        advice=(
            _("For futures, open the futures account at Gate.io and transfer USDT into it."),
            _("Check at Gate.io whether your account may trade, and its identity check."),
        ),
    ),
    "key_expired": Words(
        cause=_("Gate.io keys without bound IP addresses expire 90 days after they were made."),
        advice=(
            _("Create a new key in API Management and bind our addresses: {server_ips}"),
            _("Replace the key here. The connection and its history stay."),
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            EDIT,
            _("Untick Withdrawal, save and confirm."),
            _("Test again after 5 minutes. If it stays, delete the key and create a new one."),
        )
    ),
}
