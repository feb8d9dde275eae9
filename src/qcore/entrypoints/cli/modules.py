"""Import the modules that --import names, some of them by a pattern such as `app.jobs.*`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Final, TypeAlias

from qcore.entrypoints.cli.errors import Wrong

Import: TypeAlias = Callable[[str], ModuleType]

WILD: Final = "*?["
SCRIPT: Final = "__main__"


def modules_of(pattern: str, import_module: Import) -> Sequence[str]:
    """Return the modules that a pattern names, in order; packages on the way are imported.

    `*` stands for any text within a name, so `app.jobs.*` names the modules and packages in
    `app.jobs`, and `app.*.tasks` the module `tasks` of each package of `app` that has one. A
    module's `__main__` is never meant. Raises `Wrong` for a pattern that names none.
    """
    first, *parts = pattern.split(".")
    if _is_wild(first):
        raise Wrong(
            f"{pattern!r} begins with a pattern: expected a package first, such as app.jobs.*"
        )
    found = [first]
    for number, part in enumerate(parts, 1):
        is_last = number == len(parts)
        found = [
            name for each in found for name in _inside(each, part, import_module, is_last=is_last)
        ]
        if not found:
            place = ".".join([first, *parts[: number - 1]])
            raise Wrong(f"{pattern!r} matches no module: there is no {part!r} in {place}")
    return found


def is_pattern(name: str) -> bool:
    """Return whether a name stands for several modules."""
    return any(map(_is_wild, name))


def _inside(package: str, part: str, import_module: Import, *, is_last: bool) -> Iterator[str]:
    """Yield the modules in a package whose names match, or the one of a plain name if it is there.

    Raises `Wrong` where the package is a plain name that is none.
    """
    spec = find_spec(package)
    if spec is not None and spec.submodule_search_locations is None:
        # a module, which is not imported for having been looked at
        return
    path: Iterable[str] = import_module(package).__path__
    if not _is_wild(part):
        name = f"{package}.{part}"
        if find_spec(name) is not None:
            yield name
        return
    names = {each.name for each in iter_modules(path)}
    if not is_last:
        # of packages without __init__.py; as the last part such a one has nothing to import
        names |= set(_folders(path))
    yield from (f"{package}.{name}" for name in sorted(names - {SCRIPT}) if fnmatchcase(name, part))


def _folders(path: Iterable[str]) -> Iterator[str]:
    for folder in map(Path, path):
        if folder.is_dir():
            yield from (
                each.name for each in folder.iterdir() if each.is_dir() and each.name.isidentifier()
            )


def _is_wild(text: str) -> bool:
    return any(mark in text for mark in WILD)
