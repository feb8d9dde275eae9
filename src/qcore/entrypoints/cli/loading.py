"""Find the queue that an argument such as `myapp.tasks:q` names, and import modules beside it.

It may name a function, too, such as the one that makes an application: that is called.
"""

import sys
import sysconfig
import traceback
from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module
from inspect import iscoroutinefunction, isfunction, signature
from operator import attrgetter
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final, NoReturn, TypeGuard, cast

from qcore.domain.errors import QcoreError
from qcore.domain.retry import described
from qcore.domain.text import traceback_of
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.modules import is_pattern, modules_of
from qcore.entrypoints.early_stop import StoppedEarly, leave_if_asked
from qcore.entrypoints.facade import Qcore

EXPECTED: Final = "expected MODULE:NAME, such as myapp.tasks:q"
EXPECTED_MODULE: Final = "expected a module, such as myapp.mail, or a pattern, such as myapp.jobs.*"
LIBRARIES: Final = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
"""The folders of Python's own modules, and of those installed."""


def load(spec: str, imports: Sequence[str] = (), *, source: str = "--import") -> Qcore:
    """Return the Qcore that `spec`, MODULE:NAME, names; raise `Wrong` where there is none.

    NAME may be a function without parameters, which makes one, or an application whose one it
    configures; or an application of Flask that has one as an extension. Modules of the working
    folder come first, as with `python -m`. Then `imports` are imported, the names of modules and
    patterns of names, which declare further tasks; `source` is where they were named.
    """
    name, colon, attribute = spec.partition(":")
    if not (name and colon and attribute):
        raise Wrong(f"{spec!r} names no queue: {EXPECTED}")
    _check_name(name, spec, EXPECTED)
    folder = _working_folder()
    sys.path[:] = [folder, *(each for each in sys.path if each != folder)]
    module = _imported(name)
    import_beside(imports, source=source)
    found = _attribute(module, name, attribute)
    found = _made_by(found, spec) if isfunction(found) else _of_extension(found)
    if not _is_queue(found):
        raise Wrong(f"{spec} is a {type(found).__name__}, no Qcore: {_hint(module, name)}")
    if not found.is_configured:
        raise Wrong(
            f"{spec} is not configured yet: name the function that makes the application and calls "
            "q.configure(…), such as myapp:create_app, or --import a module that calls it"
        )
    return found


def import_beside(imports: Sequence[str], *, source: str) -> None:
    """Import the modules that are named, or match a pattern; raise `Wrong` where that fails."""
    for each in imports:
        try:
            _import_beside(each)
        except Wrong as error:
            raise Wrong(f"{error.message} ({source})") from None
    # a module may have caught what a signal raised in it
    leave_if_asked()
    _refuse_loaded_twice()


def _made_by(function: FunctionType, spec: str) -> object:
    """Call a function; return what it makes, or the one queue that it configures."""
    if iscoroutinefunction(function):
        raise Wrong(f"{spec} is a coroutine function: expected a plain one, or a Qcore")
    try:
        signature(function).bind()
    except TypeError as error:
        raise Wrong(f"{spec} cannot be called without arguments: {error}") from None
    try:
        made: object = function()
    except StoppedEarly:
        raise
    except BaseException as error:  # noqa: BLE001  (whatever the function of a user raises)
        _refuse_broken(f"call {spec}", error)
    leave_if_asked()
    made = _of_extension(made)
    queue = made if _is_queue(made) else _beside(function, spec, made)
    # a child process calls it, too
    queue.node.configured_in = spec
    return queue


def _of_extension(found: object) -> object:
    """Return the queue of an application of Flask, which is an extension of it; else what it is."""
    extensions = getattr(found, "extensions", None)
    if not isinstance(extensions, dict):
        return found
    return getattr(cast("dict[str, object]", extensions).get("qcore"), "q", found)


def _beside(function: FunctionType, spec: str, made: object) -> Qcore:
    """Return the one configured queue that the modules of a function hold."""
    modules = {spec.partition(":")[0], function.__module__} & sys.modules.keys()
    held = [value for name in modules for value in list(vars(sys.modules[name]).values())]
    queues = {id(each): each for each in held if _is_queue(each) and each.is_configured}
    if len(queues) != 1:
        found = f"{len(queues)} Qcores that are" if queues else "no Qcore that is"
        raise Wrong(
            f"{spec} returned a {type(made).__name__}, and its module holds {found} configured: "
            "have it return its Qcore, or name that, and --import a module that calls it"
        )
    return queues.popitem()[1]


def _import_beside(name: str) -> None:
    """Import a module, or those that match a pattern."""
    _check_name(name, name, EXPECTED_MODULE)
    for each in modules_of(name, _imported) if is_pattern(name) else [name]:
        _imported(each)


def _check_name(name: str, spec: str, expected: str) -> None:
    """Raise `Wrong` for what cannot be the name of a module, such as a path."""
    if "/" in name or "\\" in name or name.endswith(".py"):
        raise Wrong(
            f"{spec!r} names a file: {expected}, which can be imported from the working folder"
        )
    if not all(part.isprintable() and part.strip() == part != "" for part in name.split(".")):
        raise Wrong(f"{spec!r} names no module: {expected}")
    if name == "__main__":
        raise Wrong(f"{spec!r} names this command itself: name the module by its file")


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError as error:
        raise Wrong(f"there is no working folder to import from: {error.strerror}") from None


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except StoppedEarly:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Wrong(
                f"there is no module {error.name!r} in {Path.cwd()} or among those installed: "
                "start the worker in the folder from which it can be imported"
            ) from None
        raise Wrong(f"cannot import {name}: {error} ({_place(error)})") from None
    except QcoreError as error:
        raise Wrong(f"cannot import {name}: {error}") from None
    except SystemExit as error:
        raise Wrong(
            f"cannot import {name}: it ends the process with {described(error)} "
            f"({_place(error)}); what only a script does belongs under if __name__ == '__main__':"
        ) from None
    except BaseException as error:  # noqa: BLE001  (whatever the module of a user raises)
        _refuse_broken(f"import {name}", error)


def _refuse_broken(what: str, error: BaseException) -> NoReturn:
    # whoever has to mend their module wants to see where it broke
    print(traceback_of(error), file=sys.stderr)
    raise Wrong(f"cannot {what}: {described(error)}") from None


def _place(error: BaseException) -> str:
    """Return where an error was raised, or where a library was called that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not each.filename.startswith(("<frozen ", *LIBRARIES))]
    frame = (own or frames)[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _refuse_loaded_twice() -> None:
    """Raise `Wrong` where a file with a queue has become two modules: each has its own tasks."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    modules: dict[str, object] = {**sys.modules}
    for name, module in modules.items():
        # of the module's own dictionary: to ask a lazy module for an attribute may import it
        held = vars(module) if isinstance(module, ModuleType) else {}
        file = held.get("__file__")
        if isinstance(file, str) and any(_is_queue(value) for value in list(held.values())):
            names[str(Path(file).resolve())].append(name)
    for file, several in names.items():
        if len({id(sys.modules[name]) for name in several}) > 1:
            *short, full = sorted(several, key=lambda name: name.count("."))
            raise Wrong(
                f"{file} is loaded as {' and as '.join([full, *short])}, each with tasks of its "
                f"own: start the worker in the folder from which it is imported as {full}, and "
                "import it by that name alone"
            )


def _attribute(module: object, name: str, attribute: str) -> object:
    try:
        return attrgetter(attribute)(module)
    except AttributeError:
        raise Wrong(f"the module {name} has no {attribute!r}: {_hint(module, name)}") from None
    except StoppedEarly:
        raise
    except BaseException as error:  # noqa: BLE001  (a module's __getattr__, a property)
        raise Wrong(f"cannot get {attribute!r} of {name}: {described(error)}") from None


def _is_queue(value: object) -> TypeGuard[Qcore]:
    # the type itself: an object that stands in for another may raise when it is asked for its class
    return issubclass(type(value), Qcore)


def _hint(module: object, name: str) -> str:
    """Say what the module has that could have been meant, or which one was."""
    # a module may have put any object in its place
    held: dict[str, object] = getattr(module, "__dict__", {})
    queues = [key for key, value in held.items() if _is_queue(value)]
    if queues:
        return f"did you mean {' or '.join(f'{name}:{key}' for key in queues)}?"
    shadowed = Path.cwd() / f"{name.partition('.')[0]}.py"
    file = held.get("__file__")
    is_it = isinstance(file, str) and Path(file).resolve() == shadowed.resolve()
    if isinstance(module, ModuleType) and shadowed.exists() and not is_it:
        return f"it is {file or 'built in'}, not {shadowed}, which needs another name"
    return "add q = Qcore() to the module"
