"""What our link uses of redis-py and hiredis is where it looks for it.

Much of it is in no documentation of theirs, so a minor version may move it. The paths are found in
our source, those of imports and those of attributes of what was imported.
"""

import ast
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name

import pytest

import qcore.adapters.links.redis as link

PACKAGES = ("redis", "hiredis")


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that a module gives to what it imports of redis-py and hiredis, and paths."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found = [(each.asname or each.name, f"{module}.{each.name}") for each in names]
            case ast.Import(names=names):
                # `import redis.asyncio` names redis
                found = [
                    (each.asname, each.name) if each.asname else (each.name.partition(".")[0],) * 2
                    for each in names
                ]
            case _:
                continue
        yield from ((name, path) for name, path in found if path.partition(".")[0] in PACKAGES)


def paths_in(source: str) -> set[str]:
    """Return every path into redis-py and hiredis that a module imports or reads."""
    tree = ast.parse(source)
    known = dict(imported(tree))
    for node in ast.walk(tree):
        match node:
            # a second name for the same, as in `untyped: Any = hiredis`
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Name(id=path)) if path in known:
                known[name] = known[path]

    def path_of(node: ast.AST) -> str | None:
        match node:
            case ast.Name(id=name):
                return known.get(name)
            case ast.Attribute(value=value, attr=name):
                before = path_of(value)
                return before and f"{before}.{name}"
        return None

    return set(known.values()) | {path for path in map(path_of, ast.walk(tree)) if path}


def trouble_with(path: str) -> str | None:
    """Return what to say of a path that leads nowhere."""
    try:
        resolve_name(path)
    except (ImportError, AttributeError) as error:
        package = path.partition(".")[0]
        return (
            f"{package} {version(package)} has moved or removed {path} ({error}): find it, or "
            f"leave that version out of {package}'s range in pyproject.toml"
        )
    return None


USED = sorted(
    {
        path
        for file in Path(link.__file__).parent.rglob("*.py")
        for path in paths_in(file.read_text())
    }
)


@pytest.mark.parametrize("path", USED)
def test_what_the_link_uses_is_there(path: str) -> None:
    """One that is missing is named with the version that moved it."""
    assert trouble_with(path) is None


def test_paths_are_found_however_they_are_written() -> None:
    """Imports, other names for them, and attributes of them all count; those of others do not."""
    source = """
import hiredis
import redis.asyncio
import redis.asyncio.sentinel as watched
from redis.exceptions import RedisError as Trouble, TimeoutError
from attrs import define

untyped: Any = hiredis
made = redis.asyncio.SSLConnection(hiredis.Reader, watched.Sentinel)
untyped.pack_command(made.host, define.other)
raise Trouble.mro()
"""
    assert paths_in(source) == {
        "hiredis",
        "hiredis.Reader",
        "hiredis.pack_command",
        "redis",
        "redis.asyncio",
        "redis.asyncio.SSLConnection",
        "redis.asyncio.sentinel",
        "redis.asyncio.sentinel.Sentinel",
        "redis.exceptions.RedisError",
        "redis.exceptions.RedisError.mro",
        "redis.exceptions.TimeoutError",
    }


@pytest.mark.parametrize("path", ["redis.moved.key_slot", "redis.crc.moved", "hiredis.Moved"])
def test_a_path_that_was_moved_is_named_with_the_version(path: str) -> None:
    """Whoever raises the version reads which one it was."""
    package = path.partition(".")[0]
    told = trouble_with(path)
    assert told is not None
    assert f"{package} {version(package)} has moved or removed {path}" in told
