"""Errors of Redis and of the connection, mapped to the broker's: here and nowhere else.

Error replies have their meanings in `server_errors`, failed connections in `connection_errors`.
"""

import re
from collections.abc import Iterator
from typing import Final

from redis.exceptions import AuthenticationError, DataError, RedisError

from qcore.adapters.links.redis.connection_errors import connection_error
from qcore.adapters.links.redis.resp import is_error_reply
from qcore.adapters.links.redis.server_errors import (
    BY_CLASS,
    BY_CODE,
    BY_TEXT,
    CLUSTER_CODES,
    CLUSTER_NODE,
    UNEXPECTED,
    WITH_SENTINELS,
    Meaning,
    missing_permission,
    raised_by_script,
)
from qcore.domain.errors import BrokerRefused, BrokerUnavailable, BrokerUnusable

MAX_TEXT: Final = 160
ANY: Final = "redis+cluster://"

# Redis 6.2 puts the place in the script before the error that a script came upon, 7.0 behind it; so
# does Valkey 9, which leaves out the script's digest
_SCRIPT_PREFIX: Final = re.compile(
    r"^(?:ERR )?(?:Error running script \(call to \w+\): )?(?:@?user_script: ?\d+: ?)*-?"
)
# an EXEC that is refused says why behind its own code
_EXEC_PREFIX: Final = re.compile(r"^(?:EXECABORT )?Transaction discarded because of: -?")
_SCRIPT_SUFFIX: Final = re.compile(r" script:(?: [0-9a-f]{40},)? on @user_script:\d+\.?$")
# a server that does not know AUTH repeats its arguments, the password among them
_ARGUMENTS: Final = re.compile(r",? with args beginning with.*", re.DOTALL)


def mapped(error: Exception, shown: str, *, new: bool = False) -> Exception:
    """Return the error to raise for one of Redis's; one of neither Redis nor system is returned.

    `shown` is the server as `Address.shown` has it: its scheme tells what was expected of it. With
    `new`, nothing was ever heard from it, and its URL may be wrong. A password that the error
    repeats is taken out of it.
    """
    for each in _chain(error):
        _remove_arguments(each)
    meaning = _meaning(error, shown, new=new)
    if meaning is None:
        return error
    why = f"{meaning.advice} ({_shortened(_text_of(error)) or type(error).__name__})"
    if meaning.exception is not BrokerUnusable:
        return meaning.exception(f"{shown}: {why}")
    return BrokerUnusable(f"cannot use {shown}: {why}")


def is_refusal(error: Exception) -> bool:
    """Return whether an error reply concerns what its request holds, and no other request."""
    meaning = _meaning(error, ANY)
    return meaning is not None and meaning.exception is BrokerRefused


def is_transient(error: Exception, shown: str = ANY) -> bool:
    """Return whether the same call may succeed later: `mapped` is a `BrokerUnavailable` then.

    A slot that has moved is transient on a cluster, and where `shown` does not say that it is none.
    """
    meaning = _meaning(error, shown)
    return meaning is not None and meaning.exception is BrokerUnavailable


def must_leave(error: Exception, shown: str = ANY) -> bool:
    """Return whether to leave the server: it did not answer, or says that it is not the one to ask.

    The same call may succeed on another connection, to the same name or to another server. One
    that a script met says so too.
    """
    if not isinstance(error, RedisError | OSError) or isinstance(error, DataError):
        return False
    if not is_error_reply(error) and _code_of(error) is None:
        return True
    meaning = _meaning(error, shown)
    return meaning is not None and meaning.is_elsewhere


def _meaning(error: Exception, shown: str, *, new: bool = False) -> Meaning | None:
    """Return what an error means, None for one that is neither Redis's nor the system's."""
    if isinstance(error, DataError) or not isinstance(error, RedisError | OSError):
        return None
    scheme = shown.partition("://")[0]
    if is_error_reply(error) or _code_of(error) is not None:
        return _reply_meaning(error, scheme)
    return connection_error(error, scheme, new=new)


def _reply_meaning(error: Exception, scheme: str) -> Meaning:
    text = _text_of(error)
    code = text.partition(" ")[0]
    if code in CLUSTER_CODES and not scheme.endswith("+cluster"):
        return CLUSTER_NODE
    if code in WITH_SENTINELS and scheme.endswith("+sentinel"):
        return WITH_SENTINELS[code]
    if text.startswith("QCORE "):
        return raised_by_script(text)
    if code == "NOPERM":
        return missing_permission(text)
    if code in BY_CODE:
        return BY_CODE[code]
    by_text = (meaning for pattern, meaning in BY_TEXT if pattern.search(text))
    usual = BY_CODE["WRONGPASS"] if isinstance(error, AuthenticationError) else UNEXPECTED
    return next(by_text, usual)


def _text_of(error: Exception) -> str:
    """Return an error's text with the server's code, and without the place in a script."""
    text = _SCRIPT_SUFFIX.sub("", _SCRIPT_PREFIX.sub("", str(error), count=1))
    code = _code_of(error) or "ERR"
    if _EXEC_PREFIX.match(text):
        return _EXEC_PREFIX.sub("", text)
    return text if code == "ERR" or text.startswith(code) else f"{code} {text}"


def _code_of(error: Exception) -> str | None:
    """Return the code that redis-py has cut off an error reply's text."""
    code: str | None = getattr(error, "status_code", None)
    if code is None:
        code = next((code for kind, code in BY_CLASS if isinstance(error, kind)), None)
    return code


def _shortened(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _remove_arguments(error: BaseException) -> None:
    if any(isinstance(arg, str) and _ARGUMENTS.search(arg) for arg in error.args):
        error.args = tuple(
            _ARGUMENTS.sub("", arg) if isinstance(arg, str) else arg for arg in error.args
        )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those that caused it or were being handled when it was raised."""
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
