"""How the examples in our documents run: each document is one story, told from top to bottom.

- A `python` block runs in the document's namespace, which is a module's. It may `await`: all of a
  document's blocks that do share one event loop. The others run without a loop, as a script does.
- A `python title="tasks.py"` block is also a file in the story's folder, from which it is imported;
  a further block of that title is added to the file. `test_*.py`, and a file in a folder, such as
  that of a Django project, which a test runs in a process of its own, is written and not imported.
- In a `console` block every line that begins with `$ ` is a command, run in the story's folder; the
  other lines must be in its output, in that order. `…` stands for any text within a line.
- Blocks of any other language, `sh` among them, are only shown.

The story's folder is a temporary one, so nothing that an example writes is left behind.
"""

import ast
import asyncio
import inspect
import logging
import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, chdir, contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Final, Self

import structlog
from sybil import Document, Example
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from qcore import Qcore

BLOCK: Final = RawFencedCodeBlockLexer(
    re.compile(r"(?P<language>python|console)(?: title=\"(?P<title>[\w./-]+)\")?[ \t]*\n")
)
LONGEST_COMMAND: Final = 100.0
"""Seconds."""


class Story(Document):
    """A document, and what its examples stand on: a folder, a loop, a module, a clean world."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text, path)
        self._module = ModuleType(f"story_{Path(path).stem.replace('-', '_')}")
        self.namespace = self._module.__dict__
        self._stack = ExitStack()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the story that a file tells."""
        story = cls(path.read_text(encoding="utf-8"), str(path))
        evaluators = {"python": story.run_python, "console": story.run_commands}
        for region in BLOCK(story):
            region.parsed = region.lexemes["source"]
            region.evaluator = evaluators[region.lexemes["language"]]
            story.add(region)
        return story

    def open(self) -> None:
        """Set the stage."""
        self._old_modules = dict(sys.modules)
        self._old_path = list(sys.path)
        self._stack.enter_context(same_process())
        os.environ.pop("QCORE_URL", None)
        self.folder = Path(self._stack.enter_context(TemporaryDirectory())).resolve()
        self._stack.enter_context(chdir(self.folder))
        self.runner = self._stack.enter_context(asyncio.Runner())
        # who asks for a function's module, as for its annotations, is to find one
        sys.modules[self._module.__name__] = self._module
        sys.path.insert(0, str(self.folder))

    def close(self) -> None:
        """Close every queue of the story, and leave the world as it was."""
        for each in [each for each in self.namespace.values() if isinstance(each, Qcore)]:
            self.runner.run(each.close())
        self._stack.close()
        structlog.reset_defaults()
        for name in sys.modules.keys() - self._old_modules.keys():
            if name == self._module.__name__ or self._is_ours(sys.modules[name]):
                del sys.modules[name]
        sys.path[:] = self._old_path

    def _is_ours(self, module: ModuleType) -> bool:
        # a package without `__init__.py` has folders and no file
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        return any(Path(place).is_relative_to(self.folder) for place in places if place)

    def run_python(self, example: Example) -> None:
        """Run a block of Python in the story's namespace, or write it to a file and import that."""
        title = example.region.lexemes["title"]
        if title is None:
            # the blank lines make the line numbers of a traceback those of the document
            self._execute("\n" * example.line + example.parsed)
        else:
            self._write(title, example.parsed)

    def run_commands(self, example: Example) -> str | None:
        """Run a block's commands; return what is wrong with one that fails or says otherwise."""
        for block in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
            command, _, expected = block.partition("\n")
            status, output = self._output_of(command)
            if status or not _is_in(output, expected.splitlines()):
                return f"$ {command}\n{output}\nexit status {status}; expected\n{expected}"
        return None

    def _execute(self, source: str) -> None:
        """Run Python, on the story's loop if it awaits."""
        code = compile(source, self.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            self.runner.run(eval(code, self.namespace))  # noqa: S307  (our own documents)
        else:
            exec(code, self.namespace)  # noqa: S102  (our own documents)

    def _write(self, title: str, source: str) -> None:
        """Add Python to a file, and import it unless it holds tests or is in a folder."""
        file = self.folder / title
        file.parent.mkdir(exist_ok=True)
        before = file.read_text() if file.exists() else ""
        file.write_text(f"{before}{source}")
        is_in_folder = file.parent != self.folder
        if is_in_folder or file.name.startswith("test_") or file.name == "conftest.py":
            return
        sys.modules.pop(file.stem, None)
        invalidate_caches()
        names = vars(import_module(file.stem))
        self.namespace.update({n: each for n, each in names.items() if not n.startswith("__")})

    def _output_of(self, command: str) -> tuple[int, str]:
        """Run a command as a reader who has activated this environment; return what it says."""
        programs = Path(sys.executable).parent
        environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(  # noqa: S602  (our own documents)
            command,
            shell=True,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_COMMAND,
            check=False,
        )
        return done.returncode, done.stdout


@contextmanager
def same_process() -> Generator[None, None, None]:
    """Put back the environment and the root logger, which commands and applications set."""
    environment, root = os.environ.copy(), logging.getLogger()
    handlers, level = root.handlers.copy(), root.level
    try:
        yield
    finally:
        left = os.environ.copy()
        # pytest says in the environment where it is, and gives each of its phases handlers
        for name in (environment.keys() | left.keys()) - {"PYTEST_CURRENT_TEST"}:
            if name not in environment:
                del os.environ[name]
            elif environment[name] != left.get(name):
                os.environ[name] = environment[name]
        for handler in root.handlers.copy():
            if handler not in handlers and not type(handler).__module__.startswith("_pytest"):
                root.removeHandler(handler)
        root.setLevel(level)


def _is_in(output: str, lines: Iterable[str]) -> bool:
    """Return whether an output has these lines in this order, perhaps with others between them."""
    said = iter(output.splitlines())
    patterns = [re.escape(line.strip()).replace("…", ".*") for line in lines if line.strip()]
    return all(any(re.fullmatch(each, line.strip()) for line in said) for each in patterns)
