"""What people are told about Bybit keys: the way to one, and problems in Bybit's menu names."""

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
        _("18 letters and digits."),
        re.compile(r"[0-9A-Za-z]{18}"),
    ),
    CredentialField(
        "secret",
        _("API secret"),
        _(
            "36 letters and digits. For a self-generated key, the RSA private key with its "
            "BEGIN and END lines."
        ),
        re.compile(r"[0-9A-Za-z]{36}"),
        multiline=True,
    ),
)

GUIDE = (
    GuideStep(
        _("Open API management"),
        _(
            "Sign in at Bybit, open your profile, choose API and press Create New Key. "
            "Have two-factor authentication switched on."
        ),
    ),
    GuideStep(
        _("Choose the kind of key"),
        _(
            "Choose System-generated API Keys and API Transaction, and enter a name. "
            "Self-generated keys work too, with your RSA private key as the secret."
        ),
    ),
    GuideStep(
        _("Choose the permissions"),
        _(
            "Choose Read-Write. Tick SPOT Trade. Under Contract, tick Orders and Positions only "
            "if you will run a futures strategy."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdrawal under Wallet. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(
        _("Restrict it to our IP addresses"),
        _(
            "Choose Only IPs with permissions granted are allowed to access the OpenAPI, and "
            "paste them. A key without addresses stops working after 90 days."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Submit, confirm, copy"),
        _("Confirm with your codes and copy API Key and API Secret. The secret is shown once."),
    ),
)

WORDS: Mapping[str, Words] = {
    "invalid_key": Words(
        advice=(
            _("Copy the API Key again from API Management at Bybit, whole and without spaces."),
            _("If it is no longer listed there, create a new key and replace it here."),
        )
    ),
    "bad_secret": Words(
        advice=(
            _("Enter API Key and API Secret again; both must come from the same key."),
            _(
                "For a self-generated key, paste the private key that belongs to the public key "
                "you gave to Bybit."
            ),
            _("Bybit shows the secret once. If you no longer have it, create a new key."),
        )
    ),
    "ip_not_allowed": Words(
        cause=_(
            "The key's IP list at Bybit lacks our server, or the key was made for another app "
            "and works from that app's servers only."
        ),
        advice=(
            _("At Bybit, open API Management and press Edit beside this key."),
            _("Under the permitted IP addresses, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
            _("If the key was made for a third-party app, create one for API Transaction."),
        ),
    ),
    "no_permission": Words(
        advice=(
            _("At Bybit, open API Management and press Edit beside this key."),
            _(
                "Choose Read-Write and tick SPOT Trade (Orders and Positions under Contract for "
                "futures strategies). Leave Withdrawal unticked."
            ),
            _("Save and test again."),
        )
    ),
    "key_expired": Words(
        cause=_(
            "Bybit keys without IP addresses expire after 90 days, and 7 days after a change "
            "of your password."
        ),
        advice=(
            _("Create a new key in API Management, restricted to our addresses: {server_ips}"),
            _("Replace the key here. The connection and its history stay."),
        ),
    ),
    "restricted": Words(
        cause=_("Bybit refuses this account, this product or this region."),
        advice=(
            _("Check at Bybit whether your account may trade, and its identity verification."),
            _("Check that your account is a unified trading account."),
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            _("At Bybit, open API Management and press Edit beside this key."),
            _("Untick Withdrawal under Wallet, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
}
