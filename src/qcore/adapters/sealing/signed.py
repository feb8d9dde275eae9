"""`SignedSerializer`: an HMAC, so that anyone can read a payload and nobody can change it."""

import hmac
from typing import ClassVar, Final

from qcore.adapters.sealing.envelope import Sealing
from qcore.adapters.sealing.keys import Secret, wrong_secret

MIN_SECRET: Final = 32
"""Bytes: as long as the signature (RFC 2104, section 3)."""
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
            # surrogatepass, as the error for a lone surrogate would show a part of the secret
            secret = secret.encode(errors="surrogatepass")
        if len(secret) < MIN_SECRET:
            raise wrong_secret(id, f"{len(secret)} bytes long", f"at least {MIN_SECRET}")
        return hmac.new(secret, digestmod="sha256")

    @staticmethod
    def _sealed(key: hmac.HMAC, bound: bytes, body: bytes, /) -> bytes:
        return _signature(key, bound, body) + body

    @staticmethod
    def _opened(key: hmac.HMAC, bound: bytes, sealed: bytes, /) -> bytes | None:
        signature, body = sealed[:SIGNATURE], sealed[SIGNATURE:]
        # in constant time, so that its duration does not tell how many bytes were right
        is_right = hmac.compare_digest(signature, _signature(key, bound, body))
        return body if is_right else None


def _signature(key: hmac.HMAC, bound: bytes, body: bytes) -> bytes:
    signing = key.copy()
    signing.update(bound)
    signing.update(body)
    return signing.digest()
