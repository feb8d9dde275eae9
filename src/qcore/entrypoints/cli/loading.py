"""Find the queue that an argument such as `myapp.tasks:q` names."""

import sys
import traceback
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType

from qcore.domain.errors import QcoreError
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.facade import Qcore


def load(spec: str) -> Qcore:
    """Return the Qcore that `spec`, MODULE:NAME, names; raise `Wrong` where there is none.

    Modules of the working folder can be imported, as with `python -m`.
    """
    module, colon, name = spec.partition(":")
    if not (module and colon and name):
        raise Wrong(f"{spec!r} names no queue: expected MODULE:NAME, such as myapp.tasks:q")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loaded = _imported(module)
    found = _attribute(loaded, name)
    if not isinstance(found, Qcore):
        raise Wrong(f"{spec} is a {type(found).__name__}, no Qcore: {_hint(loaded)}")
    return found


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Wrong(
                f"there is no module {error.name!r} in {Path.cwd()} or among those installed: "
                "start the worker in the folder from which it can be imported"
            ) from None
        raise Wrong(f"cannot import {name}: {error} ({_place(error)})") from None
    except QcoreError as error:
        raise Wrong(f"cannot import {name}: {error}") from None
    except Exception as error:  # noqa: BLE001  (whatever the module of a user raises)
        # whoever has to mend their module wants to see where it broke
        traceback.print_exc()
        raise Wrong(f"cannot import {name}: {type(error).__name__}: {error}") from None


def _place(error: BaseException) -> str:
    """Return where an error was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _attribute(module: ModuleType, name: str) -> object:
    try:
        return attrgetter(name)(module)
    except AttributeError:
        raise Wrong(f"the module {module.__name__} has no {name!r}: {_hint(module)}") from None


def _hint(module: ModuleType) -> str:
    """Say what the module has that could have been meant."""
    queues = [key for key, value in vars(module).items() if isinstance(value, Qcore)]
    if queues:
        return f"did you mean {' or '.join(f'{module.__name__}:{key}' for key in queues)}?"
    return "add q = Qcore() to the module"
