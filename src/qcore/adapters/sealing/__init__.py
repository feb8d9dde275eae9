"""Serializers around serializers: what they wrote cannot be changed, or read, without a key.

What is stored, byte for byte, is in docs/reference/seals.md.
"""

from qcore.adapters.sealing.encrypted import EncryptedSerializer
from qcore.adapters.sealing.keys import Keys, Secret
from qcore.adapters.sealing.signed import SignedSerializer

__all__ = ["EncryptedSerializer", "Keys", "Secret", "SignedSerializer"]
