"""Notices as e-mails: one connection to the mail server for as many as are sent in a run."""

from __future__ import annotations

import logging
from contextlib import suppress
from email.utils import parseaddr
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPSenderRefused
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.urls import reverse
from django.utils.translation import gettext

from .models import Notice
from .notice_making import absolute, one_line

log = logging.getLogger(__name__)

PREFIX = "[BackFuture] "


class Server:
    """The mail server, connected at the first mail. Once it is away, it is for the whole run: a
    server that is silent would hold up everything else again and again."""

    def __init__(self) -> None:
        self._connection: Any = None
        self.is_away = False

    def send(self, notice: Notice) -> str:
        """What went wrong, as a code of delivery_words.py; "" when the server took it."""
        if not (notice.user.is_active and notice.user.email):
            return "gone"
        try:
            self._connect()
            self._connection.send_messages([message_of(notice, self._connection)])
        except (SMTPRecipientsRefused, SMTPSenderRefused, SMTPDataError) as refusal:
            log.error("Notice %s was refused: %s", notice.pk, type(refusal).__name__)
            self.close()  # what the server makes of the next mail is a matter of its own
            return "mail_refused"
        except (OSError, SMTPException) as problem:
            # Its text may hold the server's address and whom the mail was for.
            log.error("No mails can be sent: %s", type(problem).__name__)
            self.is_away = True
            self.close()
            return "mail_away"
        except Exception as problem:
            log.error("Notice %s cannot be mailed: %s", notice.pk, type(problem).__name__)
            return "unexpected"
        return ""

    def _connect(self) -> None:
        if self._connection is None:
            self._connection = get_connection()
            self._connection.open()

    def close(self) -> None:
        if self._connection is not None:
            with suppress(OSError, SMTPException):
                self._connection.close()
            self._connection = None


def message_of(notice: Notice, connection: Any = None) -> EmailMessage:
    settings_page = absolute(reverse("notices:settings"))
    foot = "-- \n" + gettext("What you are told, and how:") + f"\n{settings_page}"
    parts = (notice.text.strip(), notice.link, foot)
    return EmailMessage(
        subject=PREFIX + one_line(notice.subject),
        body="\n\n".join(part for part in parts if part) + "\n",
        to=[notice.user.email],
        connection=connection,
        headers={
            # Who gets it a second time sees it as the same one.
            "Message-ID": f"<notice-{notice.pk}@{_domain()}>",
            "Auto-Submitted": "auto-generated",
        },
    )


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
