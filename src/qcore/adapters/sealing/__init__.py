"""Serializers that sign or encrypt what another serializer writes.

The format, byte for byte, is in docs/reference/seals.md.
"""

from qcore.adapters.sealing.encrypted import EncryptedSerializer
from qcore.adapters.sealing.keys import Keys, Secret
from qcore.adapters.sealing.signed import SignedSerializer

__all__ = ["EncryptedSerializer", "Keys", "Secret", "SignedSerializer"]
