"""Brokers of other distributions, registered by the scheme of their URLs.

A distribution registers one as an entry point of the group `qcore.brokers`: its name is the scheme,
its value a factory, which is called with the URL and returns the broker, not open. A broker's class
is a factory if the URL is all that it is made of. Nothing of a distribution is imported before a
URL has its scheme.
"""

from collections.abc import Coroutine, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, cast

from qcore.adapters.links.urls import without_password
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.retry import described
from qcore.ports import Broker

GROUP: Final = "qcore.brokers"
MEMBERS: Final = sorted(name for name in dir(Broker) if not name.startswith("_"))


def registered_schemes() -> Sequence[str]:
    """Return the schemes that distributions have registered, in order."""
    return sorted({each.name.lower() for each in entry_points(group=GROUP)})


def connect_registered(scheme: str, url: str) -> Broker | None:
    """Return the broker of a URL whose scheme is registered; None where it is not.

    Raises `InvalidOption`, which names the distribution, where its entry point cannot be imported,
    where the factory raises what is no error of qcore, and for what it returns that is no broker;
    also where several distributions have registered the scheme.
    """
    found = {each for each in entry_points(group=GROUP) if each.name.lower() == scheme}
    if not found:
        return None
    if len(found) > 1:
        owners = " and ".join(sorted(map(_owner, found)))
        raise InvalidOption(f"{scheme}:// is registered by {owners}: uninstall all but one of them")
    (entry,) = found
    broker = _made(entry, _imported(entry), url)
    if wrong := _what_is_wrong(broker):
        raise _broken(entry, f"its factory has returned {wrong}: expected a broker, not open")
    return cast("Broker", broker)


def _imported(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:
        raise _broken(entry, f"it cannot be imported: {described(error)}") from error


def _made(entry: EntryPoint, factory: Any, url: str) -> object:
    try:
        return factory(url)
    except QcoreError:
        raise
    except (Exception, SystemExit) as error:
        if url == without_password(url):
            raise _broken(entry, f"its factory has raised {described(error)}") from error
        kind = type(error).__name__
    # neither the words of the error nor the locals of its traceback may show a password
    raise _broken(entry, f"its factory has raised {kind}, whose words may repeat a password")


def _what_is_wrong(broker: object) -> str:
    """Return what there is in the place of a broker; nothing for one."""
    if isinstance(broker, type):
        return f"the class {broker.__name__}, no object of it"
    if isinstance(broker, Coroutine):
        broker.close()
        return "a coroutine, as it is an `async def`"
    missing = [
        name for name in MEMBERS if not (hasattr(type(broker), name) or hasattr(broker, name))
    ]
    if not missing:
        return ""
    kind = type(broker).__name__
    is_almost_one = len(missing) < len(MEMBERS) // 2
    without = f" without {', '.join(missing)}" if is_almost_one else ""
    return f"an object of type {kind}{without}"


def _broken(entry: EntryPoint, what: str) -> InvalidOption:
    one_line = " ".join(what.split())
    return InvalidOption(f"{entry.name}:// is registered by {_owner(entry)}, and {one_line}")


def _owner(entry: EntryPoint) -> str:
    """Return the distribution and what it has registered, as in "shelf-broker 1.2 (shelf:make)"."""
    by = entry.dist
    name = "a distribution without a name" if by is None else f"{by.name} {by.version}"
    return f"{name} ({entry.value})"
