import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from qcore import InvalidOption, Qcore, connect
from qcore.adapters.memory import MemoryBroker
from qcore.entrypoints.cli.group import qcore
from qcore.errors import BrokerUnusable

SHELF = """
from qcore.brokers import ForwardingBroker, MemoryBroker
from qcore.diagnostics import warning
from qcore.errors import BrokerUnusable, InvalidOption

URLS = []


class ShelfBroker(ForwardingBroker):
    def __init__(self, url):
        URLS.append(url)
        super().__init__(MemoryBroker())


class Examined(ShelfBroker):
    async def diagnose(self):
        return [warning("shelf", "it leans", "prop it up")]


NEW = {"browse", "remove_queue"}
NAMES = [name for name in dir(MemoryBroker) if not name.startswith("_") and name not in NEW]
Old = type("Old", (), {name: getattr(MemoryBroker, name) for name in NAMES})


def none(url): ...
def echo(url): return url
def some_class(url): return ShelfBroker
async def awaited(url): return ShelfBroker(url)
def half(url): return Old()
def raises(url): raise ValueError(f"no shelf at {url},\\nnor elsewhere")
def leaves(url): raise SystemExit(3)
def refuses(url): raise InvalidOption("shelf:// wants a room")
def unusable(url): raise BrokerUnusable("the shelf is full")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that installs a distribution: a module, and what tells of it."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(*entries: str, name: str = "shelf-broker", source: str = SHELF) -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.delitem(sys.modules, module, raising=False)
        about = tmp_path / f"{module}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = [f"{each} \n" for each in entries]
        (about / "entry_points.txt").write_text(f"[qcore.brokers]\n{''.join(lines)}")

    return install


def test_a_registered_scheme_makes_the_broker_of_its_distribution(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By connect, by Qcore, and by the environment; the factory is given the whole URL."""
    install("shelf = shelf_broker:ShelfBroker")
    assert type(connect("shelf://hall/3?wide=1")).__name__ == "ShelfBroker"
    assert type(Qcore("SHELF://hall").broker).__name__ == "ShelfBroker"
    monkeypatch.setenv("QCORE_URL", "shelf://attic")
    assert type(Qcore().broker).__name__ == "ShelfBroker"
    urls = import_module("shelf_broker").URLS
    assert urls == ["shelf://hall/3?wide=1", "SHELF://hall", "shelf://attic"]


def test_a_scheme_that_nobody_has_registered_is_refused(install: Callable[..., None]) -> None:
    """The error lists what is known, those of distributions too, and says how to register one."""
    install("shelf = shelf_broker:ShelfBroker", "crate = shelf_broker:no_such_thing")
    with pytest.raises(
        InvalidOption,
        match=r"'box'.*memory://, .*, crate://, shelf://; .*entry point .*'qcore\.brokers'",
    ):
        connect("box://3")


def test_a_built_in_scheme_cannot_be_taken_over(install: Callable[..., None]) -> None:
    """The broker of qcore wins, and the other is not even imported, nor listed twice."""
    install("memory = shelf_broker:ShelfBroker", source="raise RuntimeError('imported')")
    assert isinstance(connect("memory://"), MemoryBroker)
    with pytest.raises(InvalidOption) as refused:
        connect("box://3")
    assert str(refused.value).count("memory://") == 1


def test_two_distributions_cannot_have_one_scheme(install: Callable[..., None]) -> None:
    """Which of them is meant, nobody can tell: both are named."""
    install("shelf = shelf_broker:ShelfBroker")
    install("shelf = other_shelf:ShelfBroker", name="other-shelf")
    with pytest.raises(
        InvalidOption,
        match=r"other-shelf 1\.2 \(.*\) and shelf-broker 1\.2 \(.*\): uninstall all but one",
    ):
        connect("shelf://hall")


BROKEN = {
    "no_such_module:make": "cannot be imported: ModuleNotFoundError: No module named",
    "shelf_broker:no_such_thing": "cannot be imported: AttributeError",
    "shelf_broker": "has raised TypeError: 'module' object is not callable",
    "shelf_broker:none": "has returned an object of type NoneType: expected a broker, not open",
    "shelf_broker:echo": "has returned an object of type str: expected",
    "shelf_broker:some_class": "has returned the class ShelfBroker, no object of it",
    "shelf_broker:awaited": "has returned a coroutine, as it is an `async def`",
    "shelf_broker:half": "has returned an object of type Old without browse, remove_queue",
    "shelf_broker:raises": "has raised ValueError: no shelf at shelf://hall, nor elsewhere",
    "shelf_broker:leaves": "has raised SystemExit: 3",
}


@pytest.mark.parametrize(("value", "said"), BROKEN.items())
def test_a_broken_entry_point_is_one_line_that_names_the_distribution(
    install: Callable[..., None], value: str, said: str
) -> None:
    """On the command line too, which exits with 2."""
    install(f"shelf = {value}")
    expected = f"shelf:// is registered by shelf-broker 1.2 ({value}), and it"
    with pytest.raises(InvalidOption, match=f"^{re.escape(expected)}.*{re.escape(said)}") as why:
        connect("shelf://hall")
    assert "\n" not in str(why.value)
    result = CliRunner().invoke(qcore, ["doctor", "--url", "shelf://hall"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


@pytest.mark.parametrize("source", ["exit(3)", "1 / 0", "def broken("])
def test_a_module_that_cannot_be_imported_is_named(
    install: Callable[..., None], source: str
) -> None:
    """Whatever it does when it is imported."""
    install("shelf = shelf_broker:ShelfBroker", source=source)
    with pytest.raises(InvalidOption, match=r"shelf-broker 1\.2 .* cannot be imported: \w+"):
        connect("shelf://hall")


def test_the_words_of_a_factory_do_not_show_a_password(install: Callable[..., None]) -> None:
    """What it has raised may repeat the URL; so it may in an option."""
    install("shelf = shelf_broker:raises", "crate = shelf_broker:echo")
    for url in ("shelf://ann:secret@hall", "shelf://hall?key=secret", "crate://ann:secret@hall"):
        with pytest.raises(InvalidOption, match=r"shelf-broker 1\.2") as refused:
            connect(url)
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__context__ is None


def test_an_error_of_ours_that_a_factory_raises_is_raised_as_it_is(
    install: Callable[..., None],
) -> None:
    """It knows best what is wrong with its URL."""
    install("shelf = shelf_broker:refuses", "crate = shelf_broker:unusable")
    with pytest.raises(InvalidOption, match=r"^shelf:// wants a room$"):
        connect("shelf://hall")
    with pytest.raises(BrokerUnusable, match=r"^the shelf is full$"):
        connect("crate://hall")


def test_the_doctor_examines_a_registered_broker(install: Callable[..., None]) -> None:
    """It tells what a `Diagnosable` one finds, and says of another that it cannot ask."""
    install("shelf = shelf_broker:Examined", "crate = shelf_broker:Plain", source=SHELF + PLAIN)
    told = CliRunner().invoke(qcore, ["doctor", "--url", "shelf://hall", "--strict"])
    assert told.exit_code == 1
    assert "it leans" in told.stdout
    plain = CliRunner().invoke(qcore, ["doctor", "--url", "crate://hall"])
    assert plain.exit_code == 0
    assert "Plain has no `diagnose`" in plain.stdout


PLAIN = """

class Plain:
    capabilities = frozenset()

    def __init__(self, url):
        self._inner = MemoryBroker()

    def __getattr__(self, name):
        if name == "diagnose":
            raise AttributeError(name)
        return getattr(self._inner, name)
"""


@pytest.mark.parametrize("command", ["bench", "worker"])
def test_the_other_commands_know_a_registered_scheme(
    install: Callable[..., None], command: str, tmp_path: Path
) -> None:
    """They reach its factory, which says what is wrong."""
    install("shelf = shelf_broker:refuses")
    (tmp_path / "shelf_app.py").write_text("from qcore import Qcore\nq = Qcore('shelf://hall')\n")
    arguments = {"bench": ["--url", "shelf://hall"], "worker": ["shelf_app:q"]}[command]
    result = CliRunner().invoke(qcore, [command, *arguments])
    assert result.exit_code == 2
    assert "shelf:// wants a room" in result.stderr
