"""How a trader makes a Coinbase key, and Coinbase's problems in its own menu names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

FIELDS = (
    CredentialField(
        "api_key",
        _("API key name or ID"),
        _("It begins with organizations/, or is an ID with four hyphens."),
        re.compile(r"organizations/[\w-]+/apiKeys/[\w-]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-\w{12}"),
    ),
    CredentialField(
        "secret",
        _("Private key (secret)"),
        _(
            "All of it, with its BEGIN and END lines if it has them. Or paste the whole downloaded "
            "key file here and leave the field above empty."
        ),
        re.compile(r"-----BEGIN [A-Z ]+-----.*|[A-Za-z0-9+/]{86}==", re.DOTALL),
        multiline=True,
    ),
)

GUIDE: Final = (
    GuideStep(
        _("Open the Coinbase Developer Platform"),
        _(
            "Sign in with your Coinbase account, open API Keys, choose Secret API Keys and "
            "press Create API key. Have two-factor authentication switched on."
        ),
    ),
    GuideStep(
        _("Enter a nickname and choose the portfolio"),
        _(
            "Expand API restrictions and choose the portfolio that BackFuture may use. "
            "The key sees this portfolio alone."
        ),
    ),
    GuideStep(
        _("Choose the rights"),
        _("Tick View and Trade. Trade covers spot and, if your account has them, futures."),
    ),
    GuideStep(
        _("Leave Transfer off"),
        _(
            "Do not tick Transfer: it includes withdrawals. "
            "BackFuture refuses every key that may transfer."
        ),
    ),
    GuideStep(
        _("Restrict it to our IP addresses"),
        _("Paste them into IP allowlist, under API restrictions."),
        shows_ips=True,
    ),
    GuideStep(
        _("Create, confirm, copy"),
        _(
            "Press Create, confirm with your code, and copy name and private key, or download "
            "the key file and paste it whole. Either signature algorithm will do."
        ),
    ),
)

WORDS: Final[Mapping[str, Words]] = {
    "invalid_key": Words(
        cause=_("Coinbase does not know this API key, for example because it was deleted."),
        advice=(
            _("Open API Keys in the Coinbase Developer Platform and look for this key."),
            _("If it is not listed under Secret API Keys, create a new one and replace it."),
        ),
    ),
    "bad_secret": Words(
        cause=_("The private key is not the one that belongs to this key name."),
        advice=(
            _("Enter name and private key again, best by pasting the downloaded key file."),
            _("Coinbase shows a private key once. If you no longer have it, make a new key."),
        ),
    ),
    "ip_not_allowed": Words(
        advice=(
            _("Before making a new key, open Secret API Keys and edit this one."),
            _("Under API restrictions, IP allowlist, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            _("Open Secret API Keys in the Coinbase Developer Platform and edit this key."),
            _("Under API restrictions, tick View and Trade. Leave Transfer unticked."),
            _("Save and test again."),
        )
    ),
    "key_expired": Words(
        advice=(
            _("Create a new key under Secret API Keys, with our addresses: {server_ips}"),
            _("Replace the key here. The connection and its history stay."),
        )
    ),
    "key_disabled": Words(
        advice=(
            _("Open Secret API Keys and see whether this key is switched on."),
            _("Sign in at Coinbase and look for a notice about your account."),
        )
    ),
    "restricted": Words(
        cause=_("Coinbase refuses this for your account, your region or this product."),
        advice=(
            _("Sign in at Coinbase and see whether your identity check is complete."),
            _("Check whether Advanced Trade is available to your account."),
        ),
    ),
    "ambiguous": Words(
        cause=_("Coinbase answers alike to several faults. Its test lists them in order."),
    ),
    "withdrawal_enabled": Words(
        cause=_("The key has the Transfer right, which includes withdrawals."),
        advice=(
            _("Open Secret API Keys in the Coinbase Developer Platform and edit this key."),
            _("Under API restrictions, untick Transfer and save."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        ),
    ),
}
