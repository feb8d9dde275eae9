"""A mail server on the loopback, as moody as a real one, that keeps messages as .eml files."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path
from zlib import crc32

from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
CLOSED = "@closed.example.net"
"""No mailbox of this domain exists any more."""


class MailServer:
    """Take messages, as aiosmtpd's handler.

    - A mailbox that is closed is refused with 550, for ever.
    - About one message in six is greylisted (RFC 6647): refused with 451 once, and every other
      of these twice. Which ones follows from the seed and the message alone.
    - Each takes `thinking` seconds to be stored, and half as long again to be acknowledged:
      whose client is lost in between gets the message delivered, and does not know.
    """

    def __init__(self, folder: Path, seed: int, thinking: float) -> None:
        self.delivered = 0
        self.deferred = 0
        self.refused = 0
        self._folder = folder
        self._seed = seed
        self._thinking = thinking
        self._deferrals: Counter[str] = Counter()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd finds it by this name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        """Answer RCPT TO."""
        if address.endswith(CLOSED):
            self.refused += 1
            return f"550 5.1.1 <{address}>: there is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 (the same)
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Answer a message."""
        content = envelope.original_content or b""
        await asyncio.sleep(self._thinking)
        if self._is_deferred(envelope.rcpt_tos[0], content):
            self.deferred += 1
            return "451 4.7.1 Greylisted: please try again in a moment"
        self._store(envelope.rcpt_tos[0], content)
        await asyncio.sleep(self._thinking / 2)
        return "250 2.0.0 OK"

    def _is_deferred(self, address: str, content: bytes) -> bool:
        message = message_from_bytes(content, policy=policy.default)
        lot = crc32(f"{self._seed} {address} {message['Subject']}".encode()) % 12
        refusals = {0: 1, 1: 2}.get(lot, 0)
        self._deferrals[message["Message-ID"]] += 1
        return self._deferrals[message["Message-ID"]] <= refusals

    def _store(self, address: str, content: bytes) -> None:
        """Write one file for each delivery: a message that comes twice is there twice."""
        self.delivered += 1
        path = self._folder / f"{self.delivered:04}-{address}.eml"
        path.write_bytes(b"Delivered-To: %b\r\n%b" % (address.encode(), content))


@asynccontextmanager
async def listening(server: MailServer) -> AsyncGenerator[str, None]:
    """Serve on a free port of the loopback, and yield "host:port"."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        partial(SMTP, server, hostname="mail.example.com", loop=loop), HOST, 0
    )
    async with listener:
        yield f"{HOST}:{listener.sockets[0].getsockname()[1]}"
