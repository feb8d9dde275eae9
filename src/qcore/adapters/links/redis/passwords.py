"""A password that is in no URL: in a file, as Docker and Kubernetes mount secrets, or a variable.

It is read for each connection, so a password that is rotated needs no restart.
"""

import os
from pathlib import Path

from qcore.domain.errors import InvalidOption


def from_file(path: str, option: str, shown: str) -> str:
    """Return what a file holds, without the line end; raise `InvalidOption` where it has nothing.

    `option` names it, and `shown` the server, in the message.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"{shown} cannot be reached with {option}={path!r}: expected a file with a password "
            f"({_reason(error)})"
        ) from None
    password = text.rstrip("\r\n")
    if not password:
        raise InvalidOption(
            f"{shown} cannot be reached with {option}={path!r}: the file is empty: expected a "
            "password in it"
        )
    return password


def from_variable(name: str, option: str, shown: str) -> str:
    """Return the value of an environment variable; raise `InvalidOption` where it has none."""
    password = os.environ.get(name)
    if not password:
        raise InvalidOption(
            f"{shown} cannot be reached with {option}={name}: the variable {name} is "
            f"{'not set' if password is None else 'empty'}: expected a password in it"
        )
    return password


def _reason(error: OSError | ValueError) -> str:
    # the words of a decoding error repeat what is in the file
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8"
