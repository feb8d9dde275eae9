"""Seal with a signature: anyone may read, nobody may change."""

import hmac
from typing import ClassVar, Final

from qcore.adapters.sealing.envelope import Sealing
from qcore.adapters.sealing.keys import Secret, wrong_secret

LEAST: Final = 32
"""Bytes of a secret: as long as the signature (RFC 2104, section 3)."""
SIGNATURE: Final = 32
"""Bytes."""


class SignedSerializer(Sealing[hmac.HMAC]):
    """Sign what `inner` (JSON by default) writes with HMAC-SHA256; read what a key here signed.

    A secret is at least 32 bytes; text is its UTF-8. To change keys, add the new one last
    everywhere, then move it to the front, then remove the old one. See `Sealing`.
    """

    scheme: ClassVar[str] = "hmac-sha256"

    @staticmethod
    def _prepared(id: str, secret: Secret, /) -> hmac.HMAC:  # noqa: A002  (what it is called)
        if isinstance(secret, str):
            # a lone surrogate passes: an error about it would show a part of the secret
            secret = secret.encode(errors="surrogatepass")
        if len(secret) < LEAST:
            raise wrong_secret(id, f"{len(secret)} bytes long", f"at least {LEAST}")
        return hmac.new(secret, digestmod="sha256")

    @staticmethod
    def _sealed(key: hmac.HMAC, bound: bytes, body: bytes, /) -> bytes:
        return _signature(key, bound, body) + body

    @staticmethod
    def _opened(key: hmac.HMAC, bound: bytes, sealed: bytes, /) -> bytes | None:
        signature, body = sealed[:SIGNATURE], sealed[SIGNATURE:]
        # in constant time: how long it takes says nothing of how much was right
        right = hmac.compare_digest(signature, _signature(key, bound, body))
        return body if right else None


def _signature(key: hmac.HMAC, bound: bytes, body: bytes) -> bytes:
    signing = key.copy()
    signing.update(bound)
    signing.update(body)
    return signing.digest()
