"""Why a notice did not arrive, in words: what happened, and what to do about it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

WORDS: dict[str, Any] = {
    "mail_away": _("Our mail server did not take it."),
    "mail_refused": _("The mail server refused your address. Look whether it is still right."),
    "no_answer": _("The service did not answer."),
    "their_fault": _("The service had a fault of its own."),
    "too_many": _("The service takes no more messages for now."),
    "refused": _(
        "The service refused it. Its token or webhook may have been deleted there: remove it here "
        "and add it again."
    ),
    "redirected": _(
        "The service sent us on to another address, which we do not follow. Add it with the "
        "address it has now."
    ),
    "certificate": _("The service could not prove that it is who it says: its certificate."),
    "blocked": _(
        "Its host is in a private network, or its name leads there. BackFuture does not send there."
    ),
    "not_understood": _("Its address is no longer understood. Remove it and add it again."),
    "sealed_unreadable": _("Its address cannot be opened here any more. Add it again."),
    "gone": _("The account was closed meanwhile."),
    "unexpected": _("Something unexpected happened."),
}


def words_for(problem: str) -> str:
    """A sentence for a code; "" where nothing is wrong."""
    return str(WORDS.get(problem, WORDS["unexpected"])) if problem else ""
