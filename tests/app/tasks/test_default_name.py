import functools
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from qcore import Context, InvalidOption, Qcore
from qcore.app.tasks.default_name import default_name


def script(file: Path | None = None, spec: str | None = None, name: str = "__main__") -> Any:
    """Return a function `send` of a module that is run as a script."""
    namespace: dict[str, Any] = {
        "__name__": name,
        "__spec__": None if spec is None else ModuleSpec(spec, None),
    }
    if file is not None:
        namespace["__file__"] = str(file)
    exec("def send(ctx): ...", namespace)  # noqa: S102  (as Python runs a script)
    return namespace["send"]


def test_a_function_of_a_module_is_named_after_both() -> None:
    """As it can be imported."""
    assert default_name(default_name) == "qcore.app.tasks.default_name.default_name"


@pytest.mark.parametrize("name", ["__main__", "__mp_main__"])
def test_a_script_counts_by_the_name_of_its_file(tmp_path: Path, name: str) -> None:
    """That is what a worker imports, whoever has run the script."""
    assert default_name(script(tmp_path / "jobs.py", name=name)) == "jobs.send"
    assert default_name(script(tmp_path / "my-jobs.py", name=name)) == "my-jobs.send"


def test_a_script_in_a_package_counts_by_its_full_name(tmp_path: Path) -> None:
    """`python pkg/sub/jobs.py` runs what others import as pkg.sub.jobs."""
    folder = tmp_path / "pkg" / "sub"
    folder.mkdir(parents=True)
    (tmp_path / "pkg" / "__init__.py").touch()
    (folder / "__init__.py").touch()
    assert default_name(script(folder / "jobs.py")) == "pkg.sub.jobs.send"


@pytest.mark.parametrize("spec", ["jobs", "pkg.jobs", "pkg.__main__"])
def test_a_module_that_python_m_runs_counts_by_its_own_name(tmp_path: Path, spec: str) -> None:
    """`python -m pkg` runs the module pkg.__main__."""
    assert default_name(script(tmp_path / "other.py", spec=spec)) == f"{spec}.send"


@pytest.mark.parametrize(
    "unknown",
    [
        lambda _: script(),
        lambda _: script(spec="__main__"),
        lambda home: script(home / "__main__.py"),
        lambda home: script(home / "jobs"),
        lambda home: script(home / "jobs.v2.py"),
    ],
    ids=["interactive", "a folder", "its file", "no .py", "a dot"],
)
def test_what_nobody_can_import_is_refused(tmp_path: Path, unknown: Callable[[Path], Any]) -> None:
    """No worker could have a handler for its tasks; a name of their own is all it takes."""
    function = unknown(tmp_path)
    q = Qcore("memory://")
    with pytest.raises(InvalidOption, match=r"send is defined in no module .*@q.task\('name'\)"):
        q.task(function)
    assert q.task("send")(function).name == "send"


def test_a_decorated_function_counts_by_the_script_it_is_written_in(tmp_path: Path) -> None:
    """The decorator may be another module's."""
    inner = script(tmp_path / "jobs.py")

    @functools.wraps(inner)
    def outer(ctx: Context) -> None:
        inner(ctx)

    assert default_name(outer) == "jobs.send"
    assert default_name(functools.wraps(inner)(functools.partial(outer))) == "jobs.send"


def test_what_has_no_name_is_refused() -> None:
    """A partial has none."""
    with pytest.raises(InvalidOption, match="has no name of its own"):
        Qcore("memory://").task(functools.partial(test_what_has_no_name_is_refused))
