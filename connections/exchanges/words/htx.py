"""The way to a key at HTX, and its problems in HTX's own menu names."""

from __future__ import annotations

import re
from typing import Final

from ..base import CredentialField, GuideStep
from ..problems import Words
from ..problems import gettext_noop as _

LOOKS_LIKE = re.compile(r"[0-9a-z]{5,12}(-[0-9a-z]{5,12}){3}")

FIELDS = (
    CredentialField(
        "api_key",
        _("Access Key"),
        _("Four groups of letters and digits with hyphens between them."),
        LOOKS_LIKE,
    ),
    CredentialField(
        "secret",
        _("Secret Key"),
        _("Four groups, like the Access Key. HTX shows it once, right after creating the key."),
        LOOKS_LIKE,
    ),
)

GUIDE: Final = (
    GuideStep(
        _("Open API management"),
        _(
            "Sign in at HTX, open the profile menu and choose API Management. "
            "Use your main account, with two-factor authentication switched on."
        ),
    ),
    GuideStep(
        _("Choose the rights"),
        _(
            "Enter a note and tick Read and Trade. Trade covers spot and futures: for futures "
            "strategies, also open futures trading once at HTX."
        ),
    ),
    GuideStep(
        _("Leave withdrawal off"),
        _("Do not tick Withdraw. BackFuture refuses every key that may withdraw."),
    ),
    GuideStep(
        _("Bind our IP addresses"),
        _(
            "Paste them into the field for IP addresses. "
            "A trading key without any is switched off after 90 days without use."
        ),
        shows_ips=True,
    ),
    GuideStep(
        _("Create, confirm, copy"),
        _(
            "Press Create, confirm with your codes, and copy Access Key and Secret Key. "
            "The secret is shown only once."
        ),
    ),
)

WORDS: Final = {
    "invalid_key": Words(
        cause=_("HTX does not know this Access Key."),
        advice=(
            _("At HTX, open API Management and copy the Access Key again, whole."),
            _("If it is no longer listed there, create a new key and replace it here."),
        ),
    ),
    "bad_secret": Words(
        title=_("The Secret Key does not match the Access Key"),
        advice=(
            _("Enter Access Key and Secret Key again; they look alike, so do not mix them up."),
            _("HTX shows a Secret Key once only. If you no longer have it, create a new key."),
        ),
    ),
    "ip_not_allowed": Words(
        advice=(
            _("At HTX, open API Management and press Edit beside this key."),
            _("To its bound IP addresses, add: {server_ips}"),
            _("Save, wait a minute, and test again."),
        )
    ),
    "no_permission": Words(
        advice=(
            _("At HTX, open API Management and press Edit beside this key."),
            _("Tick Read and Trade. Leave Withdraw unticked."),
            _("Save and test again."),
        )
    ),
    "key_expired": Words(
        cause=_(
            "HTX switches trading keys without bound IP addresses off after 90 days without use."
        ),
        advice=(
            _("Create a new key in API Management and bind our addresses: {server_ips}"),
            _("Replace the key here. The connection and its history stay."),
        ),
    ),
    "restricted": Words(
        cause=_(
            "HTX refuses this for your account: for its region, its kind, or because futures "
            "trading has not been opened."
        ),
        advice=(
            _("For futures, open HTX's futures page once and accept its terms."),
            _("Check at HTX whether your account may use the API for this product."),
        ),
    ),
    "withdrawal_enabled": Words(
        advice=(
            _("At HTX, open API Management and press Edit beside this key."),
            _("Untick Withdraw, save and confirm."),
            _("Test again. If it cannot be unticked, delete the key and create a new one."),
        )
    ),
}
