"""The name of a task that was given none: its function's, in the module that others import.

A module that is run as a script is called `__main__`, in a child of its that `multiprocessing` has
spawned `__mp_main__`. A worker imports it by its own name, and so that is what its tasks are named
after. In a notebook or an interactive session there is no other name than `__main__`: its tasks are
run there.
"""

from collections.abc import Mapping
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import Any, Final

from qcore.app.tasks.interactive import is_interactive, is_typed
from qcore.domain.errors import InvalidOption

MAIN: Final = "__main__"
SCRIPTS: Final = {MAIN, "__mp_main__"}
SOURCES: Final = {".py", ".pyw"}


def default_name(function: Any) -> str:
    """Return module and name of a function; raise `InvalidOption` where nobody could import it."""
    own, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    if own is None:
        raise InvalidOption(
            f"{function!r} has no name of its own, as a partial or an object that is called: give "
            "its tasks one, @q.task('name')"
        )
    if module in SCRIPTS:
        script = None if is_typed(function) else _script_name(_globals_of(function))
        module = MAIN if script is None and is_interactive() else script
    if module is None:
        raise InvalidOption(
            f"{own} is defined in no module that a worker could import, such as in python -c: "
            "give its tasks a name, @q.task('name')"
        )
    return f"{module}.{own}"


def _globals_of(function: Any) -> Mapping[str, Any]:
    while isinstance(function, partial):
        function = function.func
    found: Mapping[str, Any] = getattr(unwrap(function), "__globals__", {})
    return found


def _script_name(namespace: Mapping[str, Any]) -> str | None:
    """Return the name by which a script can be imported, None if there is none."""
    spec = namespace.get("__spec__")
    if spec is not None:
        # python -m jobs, and python -m package, whose module is package.__main__
        return None if spec.name in SCRIPTS else str(spec.name)
    file = namespace.get("__file__")
    return None if file is None else _name_in_package(Path(file).absolute())


def _name_in_package(file: Path) -> str | None:
    """Return the name of a file's module, with those of the packages that it lies in."""
    if file.suffix not in SOURCES or "." in file.stem or file.stem in SCRIPTS:
        return None
    names = [file.stem]
    for folder in file.parents:
        if not (folder / "__init__.py").exists():
            break
        names.append(folder.name)
    return ".".join(reversed(names))
