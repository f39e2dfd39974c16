"""Binance: its fields, the way to a key and its problems, in its own menu names."""

from __future__ import annotations

import re

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

EDIT_RESTRICTIONS = _("At Binance, open API Management and press Edit restrictions at this key.")

FIELDS = (
    CredentialField(
        "api_key", _("API key"), _("64 letters and digits."), re.compile(r"[0-9A-Za-z]{64}")
    ),
    CredentialField(
        "secret",
        _("Secret key"),
        _(
            "64 letters and digits, shown once. For a self-generated key (Ed25519 or RSA) "
            "paste the private key with its BEGIN and END lines."
        ),
        re.compile(r"[0-9A-Za-z]{64}"),
        multiline=True,
    ),
)
GUIDE = (
    GuideStep(
        _("Open API Management"),
        _(
            "Sign in at Binance, open your profile, choose Account, then API Management. "
            "Have two-factor authentication switched on. For a futures strategy, open your "
            "futures account first: a key made before that cannot trade futures."
        ),
    ),
    GuideStep(
        _("Create the key and copy it"),
        _(
            "Press Create API, choose System generated, enter a name and confirm with your "
            "codes. Copy API Key and Secret Key: the secret is shown only once. "
            "Self-generated keys work too; then you paste your private key here."
        ),
    ),
    GuideStep(
        _("Restrict it to our IP addresses"),
        _(
            "Press Edit restrictions, choose Restrict access to trusted IPs only, paste our "
            "addresses and press Confirm. Without them Binance takes the trading right away "
            "after 30 days, or may delete the key."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Choose the rights"),
        _(
            "Keep Enable Reading and tick Enable Spot & Margin Trading. "
            "Tick Enable Futures only if you will run a futures strategy."
        ),
    ),
    GuideStep(
        _("Leave withdrawals off, and save"),
        _(
            "Do not tick Enable Withdrawals: BackFuture refuses every key that may withdraw. "
            "Leave the transfer rights off too. Press Save and confirm."
        ),
    ),
)
WORDS = {
    "invalid_key": Words(
        advice=(
            _("Copy the API key again from API Management, whole and without spaces."),
            _("If it is no longer listed there, create a new key and replace it here."),
            _("A key of Binance.US or another separate Binance site does not work here."),
        )
    ),
    "bad_secret": Words(
        advice=(
            _("Enter API key and secret again; both must come from the same key."),
            _("For a self-generated key, paste the private key of the public key you gave."),
            _("Binance shows a secret key once. If you no longer have it, create a new key."),
        )
    ),
    "ip_not_allowed": Words(
        cause=_("The key's list of trusted IPs at Binance lacks our server."),
        advice=(
            EDIT_RESTRICTIONS,
            _("Under Restrict access to trusted IPs only, add: {server_ips}"),
            _("Press Confirm, then Save. Wait a minute, and test again."),
        ),
    ),
    "no_permission": Words(
        cause=_(
            "A right that strategies need is switched off. Binance unticks trading by itself "
            "30 days after a key without trusted IPs was made."
        ),
        advice=(
            EDIT_RESTRICTIONS,
            _(
                "Tick Enable Reading and Enable Spot & Margin Trading (Enable Futures for "
                "futures strategies). Leave Enable Withdrawals unticked."
            ),
            _("Save and test again."),
        ),
    ),
    "key_expired": Words(
        title=_("The key's trading right has expired"),
        cause=_("Binance ends the trading right of a key without trusted IPs after 30 days."),
        advice=(
            EDIT_RESTRICTIONS,
            _("Choose Restrict access to trusted IPs only and add: {server_ips}"),
            _("Tick Enable Spot & Margin Trading again, save, and test again."),
        ),
    ),
    "restricted": Words(
        cause=_(
            "Binance refuses this for reasons of region, product or account type. For "
            "futures: the account is not opened, was opened after the key was made, or is a "
            "Portfolio Margin account."
        ),
        advice=(
            _("Check at Binance whether your account may use the API for this product."),
            _("For futures, open the futures account, then create a new key."),
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            EDIT_RESTRICTIONS,
            _("Untick Enable Withdrawals, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
    "no_ip_restriction": Words(
        cause=_(
            "The key works from any address. Binance takes the trading right of such a key "
            "away after 30 days, or may delete the key."
        ),
        advice=(_("Choose Restrict access to trusted IPs only and add: {server_ips}"),),
    ),
}
