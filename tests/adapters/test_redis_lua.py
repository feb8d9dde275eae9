"""The declarations of scripts.py against the names that the Lua files use."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from qcore.adapters.redis.scripts import CALLED, FAST_PATHS, INCLUDES, LIBRARY, assembled, lua

FOLDER = Path(str(files("qcore.adapters.redis")), "lua")


def code(name: str) -> str:
    """Return a Lua file without comments and strings."""
    lines = (line.partition("--")[0] for line in lua(name).split("\n"))
    return "\n".join(re.sub(r"'(?:[^'\\]|\\.)*'", "''", line) for line in lines)


def defined(part: str) -> Iterator[str]:
    """Yield the names that a part of the library defines."""
    for names in re.findall(r"^local (?:function )?([\w, ]+)", code(f"lib/{part}"), re.MULTILINE):
        yield from (name.strip() for name in names.split(","))


DEFINED_IN = {name: part for part in LIBRARY for name in defined(part)}


def used(name: str) -> set[str]:
    """Return the parts whose names a Lua file uses."""
    words = re.findall(r"(?<![\w.:])[A-Za-z_]\w*", code(name))
    return {DEFINED_IN[word] for word in words if word in DEFINED_IN}


def test_no_two_parts_define_the_same_name() -> None:
    """A script that included both would use the last."""
    assert len(DEFINED_IN) == sum(len([*defined(part)]) for part in LIBRARY)


@pytest.mark.parametrize("script", INCLUDES)
def test_a_script_includes_what_it_uses_and_nothing_else(script: str) -> None:
    """A missing part fails in the branch that needs it; one too many is created each call."""
    assert set(INCLUDES[script]) == used(script)


@pytest.mark.parametrize("part", LIBRARY)
def test_a_part_of_the_library_declares_what_it_uses(part: str) -> None:
    """Those stand before it."""
    assert set(LIBRARY[part]) == used(f"lib/{part}") - {part}
    order = [*LIBRARY]
    assert all(order.index(each) < order.index(part) for each in LIBRARY[part])


def test_every_file_is_declared() -> None:
    """A file that nothing includes is dead."""
    declared = {*INCLUDES, *FAST_PATHS.values(), *(f"lib/{part}" for part in LIBRARY)}
    found = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.lua")}
    assert found == declared


@pytest.mark.parametrize("script", CALLED)
def test_a_script_that_calls_others_has_them_as_functions(script: str) -> None:
    """They are called by the names of their files."""
    text = assembled(script).text
    for called in CALLED[script]:
        assert f"local function {called}(KEYS, ARGV)\n{assembled(called).text}\nend\n" in text
        assert re.search(rf"\b{called}\(", code(script))
