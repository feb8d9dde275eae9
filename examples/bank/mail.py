"""Sending e-mails: to a mail server, or, where there is none, into the log."""

import logging
from email.message import EmailMessage
from smtplib import SMTP, SMTPRecipientsRefused, SMTPResponseException
from typing import Protocol

PATIENCE = 10.0
"""Seconds to wait for the server's next word."""

log = logging.getLogger("bank.mail")


class MailRefused(Exception):
    """Say that an address does not exist: 5xx, which is for ever (RFC 5321)."""


class Mailer(Protocol):
    """Whatever sends e-mails."""

    def send(self, message: EmailMessage) -> None:
        """Send a message; raise `MailRefused` where trying again is in vain."""
        ...


class LogMailer:
    """Write e-mails into the log."""

    def send(self, message: EmailMessage) -> None:
        log.info("e-mail to %s: %s\n%s", message["To"], message["Subject"], message.get_content())


class SmtpMailer:
    """Send e-mails to a mail server, each by a connection of its own. Safe to use from threads."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    def send(self, message: EmailMessage) -> None:
        try:
            with SMTP(self._host, self._port, timeout=PATIENCE) as smtp:
                smtp.send_message(message)
        except SMTPRecipientsRefused as error:
            # each message has one recipient, so there is one answer
            [(code, reason)] = error.recipients.values()
            _raise_if_final(code, reason)
            raise
        except SMTPResponseException as error:
            _raise_if_final(error.smtp_code, error.smtp_error)
            raise


def _raise_if_final(code: int, reason: bytes | str) -> None:
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
    if code >= 500:
        raise MailRefused(f"{code} {text}")
