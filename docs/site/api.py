"""The pages of the reference of the API: one for each public module, with its public names."""

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

INDEX: Final = Path(__file__).parents[1] / "reference" / "api.md"

MODULES: Final = tuple(re.findall(r"\[`(qcore[\w.]*)`\]", INDEX.read_text(encoding="utf-8")))
"""The public modules, in the order of docs/reference/api.md."""

HOMES: Final = ("qcore", "qcore.ports")
"""What several modules have is described in one: one of these, or else the first."""


def page(module: str) -> str:
    """Return the page of a module, as MyST with the directives of autodoc."""
    directives = "\n".join(_directives(module))
    return (
        f"# `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :no-members:\n\n"
        f"{directives}\n```\n"
    )


def public_names(module: str) -> list[str]:
    """Return the names that a module is imported for."""
    found = importlib.import_module(module)
    here = [
        name
        for name, what in vars(found).items()
        if name[0] != "_" and getattr(what, "__module__", "") == module
    ]
    return list(getattr(found, "__all__", here))


def _directives(module: str) -> Iterator[str]:
    """Yield the list of the names of a module, then each name that is described here."""
    homes = {
        name: _homes().get(_key(getattr(importlib.import_module(module), name)), module)
        for name in public_names(module)
    }
    yield " · ".join(f":py:obj:`{name} <{home}.{name}>`" for name, home in homes.items()) + "\n"
    for name, home in homes.items():
        if home == module:
            what = getattr(importlib.import_module(module), name)
            yield f".. {_directive(what)} {module}.{name}\n"


def _directive(what: object) -> str:
    if inspect.isclass(what):
        return "autoexception::" if issubclass(what, BaseException) else "autoclass::"
    return "autofunction::" if inspect.isroutine(what) else "autodata::"


@cache
def _homes() -> dict[Any, str]:
    """Return the module in which each class and function of several modules is described."""
    homes: dict[Any, str] = {}
    for module in sorted(MODULES, key=lambda each: each not in HOMES):
        for name in public_names(module):
            homes.setdefault(_key(getattr(importlib.import_module(module), name)), module)
    return homes


def _key(what: object) -> object:
    """Return what tells a class or a function from others; a plain value is told by nothing."""
    named = inspect.isclass(what) or inspect.isroutine(what)
    return (what.__module__, what.__qualname__) if named else id(what)
