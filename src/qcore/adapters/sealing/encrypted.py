"""`EncryptedSerializer`: authenticated encryption, so that nobody can read or change a payload."""

import os
from base64 import b64decode
from typing import TYPE_CHECKING, ClassVar, Final

from qcore.adapters.sealing.envelope import Sealing
from qcore.adapters.sealing.keys import Secret, wrong_secret
from qcore.domain.errors import InvalidOption

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECRET: Final = 32
"""Bytes: AES-256."""
NONCE: Final = 12
"""Bytes, random for each message (NIST SP 800-38D, section 8.2.2)."""


class EncryptedSerializer(Sealing["AESGCM"]):
    """Encrypt what `inner` (JSON by default) writes with AES-256-GCM; read what a key here wrote.

    Not MultiFernet, as that is AES-128, a third longer for its base64, cannot bind the content type
    and the key's id, and tries one key after the other. The price: with random nonces a key is good
    for 2³² messages, arguments and results together (NIST SP 800-38D, section 8.3); change it
    before.

    A secret is 32 bytes; text is their base64, as of `openssl rand -base64 32`. To change keys, add
    the new one last everywhere, then move it to the front, then remove the old one. Needs the extra
    "encryption". See `Sealing`.
    """

    scheme: ClassVar[str] = "aes-256-gcm"

    @staticmethod
    def _prepared(id: str, secret: Secret, /) -> "AESGCM":  # noqa: A002  (what it is called)
        raw = _decoded(secret) if isinstance(secret, str) else secret
        expected = f"{SECRET} bytes, or their base64 as text"
        if raw is None:
            raise wrong_secret(id, "text that is no base64", expected)
        if len(raw) != SECRET:
            raise wrong_secret(id, f"{len(raw)} bytes long", expected)
        return _cipher(raw)

    @staticmethod
    def _sealed(key: "AESGCM", bound: bytes, body: bytes, /) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + key.encrypt(nonce, body, bound)

    @staticmethod
    def _opened(key: "AESGCM", bound: bytes, sealed: bytes, /) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return key.decrypt(sealed[:NONCE], sealed[NONCE:], bound)
        except (InvalidTag, ValueError):
            # ValueError: too short for a nonce
            return None


def _decoded(text: str) -> bytes | None:
    """Return decoded base64, of the standard or the URL-safe alphabet; None where it is neither."""
    try:
        return b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return None


def _cipher(secret: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise InvalidOption(
            "EncryptedSerializer needs the library cryptography: pip install "
            "'qcore-queue[encryption]'"
        ) from error
    return AESGCM(secret)
