"""Values to bytes and back: JSON, MessagePack, and what signs or encrypts either."""

from qcore.adapters.sealing import EncryptedSerializer, Keys, Secret, SignedSerializer
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.ports import Serializer

__all__ = [
    "EncryptedSerializer",
    "JsonSerializer",
    "Keys",
    "MessagePackSerializer",
    "Secret",
    "Serializer",
    "SignedSerializer",
]
