"""What errors have in common: their text without numbers, ids and quoted values."""

import re
from hashlib import blake2b
from typing import Final

MAX_READ: Final = 1_000
"""Characters of an error that are looked at."""
MAX_MESSAGE: Final = 300
LONG: Final = 12
"""Characters from which a word with two digits in it is an id, whatever its letters."""
FINGERPRINT: Final = re.compile(r"[0-9a-f]{12}")

_QUOTED: Final = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\"|`[^`]*`)(?!\w)")
_ADDRESS: Final = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w.-]*\w")
_UUID: Final = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_WORD: Final = re.compile(r"\b(?:0x[0-9a-fA-F]+|[0-9A-Za-z_]{8,})\b")
_HEX: Final = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")


def common_part(error: str) -> str:
    """Return an error without what differs from task to task.

    Quoted text becomes '…', ids and addresses <id>, numbers #; white space is one blank.
    """
    text = _QUOTED.sub(lambda found: f"{found[0][0]}…{found[0][0]}", error[:MAX_READ])
    text = _UUID.sub("<id>", _ADDRESS.sub("<id>", text))
    text = _NUMBER.sub("#", _WORD.sub(_id_or_word, text))
    return " ".join(text.split())[:MAX_MESSAGE]


def fingerprint(name: str, message: str) -> str:
    """Return twelve digits that stand for a task's name and the common part of its error."""
    return blake2b(f"{name}\0{message}".encode(errors="replace"), digest_size=6).hexdigest()


def _id_or_word(found: re.Match[str]) -> str:
    word = found[0]
    digits = sum(map(str.isdigit, word))
    if digits == len(word):
        return word
    is_id = (digits and _HEX.fullmatch(word)) or (digits > 1 and len(word) >= LONG)
    return "<id>" if is_id else word
