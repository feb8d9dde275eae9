"""What Redis, and the way to it, complain of, as what the application understands.

Mapped here and nowhere else; what a server says is in `server_errors`, how the way there fails
in `connection_errors`.
"""

import re
from collections.abc import Iterator
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    DataError,
    RedisError,
    ResponseError,
)

from qcore.adapters.links.redis.connection_errors import failed
from qcore.adapters.links.redis.server_errors import (
    BY_CLASS,
    BY_CODE,
    BY_WORDS,
    MOVING,
    NODE,
    UNEXPECTED,
    WITH_SENTINELS,
    Complaint,
    of_ours,
    permission,
)
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable

MOST_WORDS: Final = 160
ANY: Final = "redis+cluster://"

# Redis 6.2 tells where in a script an error came up before it, and 7.0 behind it; so does Valkey 9,
# which leaves out the script's digest
_IN_SCRIPT: Final = re.compile(
    r"^(?:ERR )?(?:Error running script \(call to \w+\): )?(?:@?user_script: ?\d+: ?)*-?"
)
_OF_SCRIPT: Final = re.compile(r" script:(?: [0-9a-f]{40},)? on @user_script:\d+\.?$")
# what was sent, and so perhaps the password that AUTH sends
_SENT: Final = re.compile(r",? with args beginning with.*", re.DOTALL)


def mapped(error: Exception, shown: str, *, new: bool = False) -> Exception:
    """Return the error to raise for one of Redis's; a mistake of our own comes back as it is.

    `shown` is the server as `Address.shown` has it: its scheme tells what was expected of it. With
    `new`, nothing was ever heard from it, and its URL may be wrong. A password that the error
    repeats is taken out of it.
    """
    for each in _chain(error):
        _hide_what_was_sent(each)
    complaint = _complaint(error, shown, new=new)
    if complaint is None:
        return error
    why = f"{complaint.advice} ({_short(_said(error)) or type(error).__name__})"
    if complaint.sort is BrokerUnavailable:
        return BrokerUnavailable(f"{shown}: {why}")
    return BrokerUnusable(f"cannot use {shown}: {why}")


def is_transient(error: Exception, shown: str = ANY) -> bool:
    """Return whether the same call may succeed later: `mapped` is a `BrokerUnavailable` then.

    A slot that has moved is transient on a cluster, and so where `shown` does not say that it is
    none.
    """
    complaint = _complaint(error, shown)
    return complaint is not None and complaint.sort is BrokerUnavailable


def never_arrived(error: Exception) -> bool:
    """Return whether what was asked for has surely not been done."""
    complaint = _complaint(error, ANY)
    return complaint is not None and complaint.refused


def _complaint(error: Exception, shown: str, *, new: bool = False) -> Complaint | None:
    """Return what an error means, None for one that is neither Redis's nor the system's."""
    if isinstance(error, DataError) or not isinstance(error, RedisError | OSError):
        return None
    scheme = shown.partition("://")[0]
    answer = _answer(_said(error), scheme)
    if answer is not None:
        return answer
    if isinstance(error, AuthenticationError):
        return BY_CODE["WRONGPASS"]
    if isinstance(error, ResponseError):
        return UNEXPECTED
    return failed(error, scheme, new=new)


def _answer(said: str, scheme: str) -> Complaint | None:
    """Return what the words of a server mean, None for words that are none of a server's."""
    code = said.partition(" ")[0]
    if code in MOVING and not scheme.endswith("+cluster"):
        return NODE
    if code in WITH_SENTINELS and scheme.endswith("+sentinel"):
        return WITH_SENTINELS[code]
    if said.startswith("QCORE "):
        return of_ours(said)
    if code == "NOPERM":
        return permission(said)
    if code in BY_CODE:
        return BY_CODE[code]
    return next((complaint for words, complaint in BY_WORDS if words.search(said)), None)


def _said(error: Exception) -> str:
    """Return an error's words with the server's code, and without what a script puts around."""
    said = _OF_SCRIPT.sub("", _IN_SCRIPT.sub("", str(error), count=1))
    code = getattr(error, "status_code", None)
    if code is None:
        code = next((code for kind, code in BY_CLASS if isinstance(error, kind)), "ERR")
    return said if code == "ERR" or said.startswith(code) else f"{code} {said}"


def _short(said: str) -> str:
    said = said.strip()
    return said if len(said) <= MOST_WORDS else f"{said[:MOST_WORDS]}…"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it came of."""
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [cause for cause in (each.__cause__, each.__context__) if cause is not None]


def _hide_what_was_sent(error: BaseException) -> None:
    """Take what was sent out of an error's words: a server that knows no AUTH repeats it."""
    if any(isinstance(word, str) and _SENT.search(word) for word in error.args):
        error.args = tuple(
            _SENT.sub("", word) if isinstance(word, str) else word for word in error.args
        )
