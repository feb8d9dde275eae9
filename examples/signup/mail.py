"""Sending mail with the standard library, over connections kept open between messages."""

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from email.message import EmailMessage
from smtplib import SMTP, SMTPRecipientsRefused, SMTPResponseException

PATIENCE = 10.0
"""Seconds to wait for the server's next word."""


class MailRefused(Exception):
    """Say that the server would not take a message, and in which words."""

    def __init__(self, code: int, reason: bytes | str) -> None:
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        super().__init__(f"{code} {text}")
        self.code = code

    @property
    def is_permanent(self) -> bool:
        """Return whether asking again is in vain: 4xx is for now, 5xx for ever (RFC 5321)."""
        return self.code >= 500


class SmtpPool:
    """SMTP connections, as many as are used at once. Made for handlers in threads."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: deque[SMTP] = deque()

    def send(self, message: EmailMessage) -> None:
        """Hand a message over; when this returns, delivering it is the server's business.

        Raises `MailRefused` if the server says no, and `SMTPException` or `OSError` if it is gone.
        """
        with self._connection() as smtp:
            try:
                smtp.send_message(message)
            except SMTPRecipientsRefused as error:
                # with a single recipient there is a single answer
                (answer,) = error.recipients.values()
                raise MailRefused(*answer) from error
            except SMTPResponseException as error:
                raise MailRefused(error.smtp_code, error.smtp_error) from error

    def close(self) -> None:
        """Say goodbye on every connection that is idle."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Generator[SMTP, None, None]:
        """Lend a connection, a new one if none is idle."""
        try:
            smtp = self._idle.pop()
        except IndexError:
            smtp = SMTP(self._host, self._port, timeout=PATIENCE)
        try:
            yield smtp
        finally:
            # smtplib has reset a connection after a refusal, and closed one that broke
            if smtp.sock is not None:
                self._idle.append(smtp)
