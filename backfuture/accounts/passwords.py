"""Passwords that others have used before, and their disguises. Works offline."""

from __future__ import annotations

from typing import Any

import zxcvbn
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

WEAKEST_ALLOWED = 3  # of 0 to 4: "safely unguessable", over 10^8 guesses
LOOKED_AT = 72  # characters; zxcvbn's own bound, since its time grows faster than the length


class BreachedOrGuessable:
    """zxcvbn knows 30,000 passwords from breaches, names, words, keyboard rows and dates, and
    sees them behind capitals, digits and signs."""

    def validate(self, password: str, user: Any = None) -> None:
        known = ["backfuture", *_words_of(user)]
        if zxcvbn.zxcvbn(password[:LOOKED_AT], user_inputs=known)["score"] < WEAKEST_ALLOWED:
            raise ValidationError(
                _(
                    "This password is among those that leaked elsewhere, or close to one, and is "
                    "tried first. Use four or more words that do not belong together."
                ),
                code="password_breached",
            )

    def get_help_text(self) -> str:
        return _("Your password can't be one that leaked elsewhere, nor one close to it.")


def _words_of(user: Any) -> list[str]:
    email = str(getattr(user, "email", "") or "")
    return [email, *email.replace("@", ".").split(".")]
