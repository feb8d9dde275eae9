"""Queues as they are written on a command line."""

from typing import Final

from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.new_task import NewTask

MAX_DIGITS: Final = 9
EXPECTED: Final = "expected names with weights, such as critical=6,default=3,low=1, or plain names"


def parse_queues(text: str) -> dict[str, int]:
    """Return queue to weight, in the order written; raise `InvalidOption` where a piece is none.

    A queue without a weight has the weight 1.
    """
    queues: dict[str, int] = {}
    for piece in text.split(","):
        name, equals, weight = (part.strip() for part in piece.partition("="))
        if name in queues:
            raise InvalidOption(f"queues is {text!r}, which names {name!r} twice: {EXPECTED}")
        queues[_checked(name, text)] = _weight(weight, name, text) if equals else 1
    return queues


def _checked(name: str, text: str) -> str:
    try:
        NewTask("check", id="check", queue=name)
    except InvalidTask as error:
        raise InvalidOption(f"queues is {text!r}: {error}; {EXPECTED}") from None
    return name


def _weight(weight: str, name: str, text: str) -> int:
    if not (weight.isascii() and weight.isdigit() and len(weight) <= MAX_DIGITS and int(weight)):
        raise InvalidOption(
            f"queues is {text!r}: the weight of {name!r} is {weight!r}, no whole number from 1: "
            f"{EXPECTED}"
        )
    return int(weight)
