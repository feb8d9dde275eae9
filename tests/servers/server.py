"""What real servers of our own have in common: a port, a folder, a process to end and freeze."""

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar, Self

import psutil

from tests.servers.guarded import Guarded
from tests.servers.ports import free_port
from tests.servers.waiting import until

HOST = "127.0.0.1"


class Running:
    """What runs while a block lasts, and of which nothing is left after it."""

    def start(self) -> None:
        """Start it, and return when it is ready."""
        raise NotImplementedError

    def close(self) -> None:
        """End it, also where it was started in part."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Running):
    """A server on a port and in a folder that it keeps however often it ends and starts.

    As a context manager it runs, and nothing is left of it afterwards.
    """

    stop_signal: ClassVar = signal.SIGTERM
    """What asks it to end, and to write what it has."""

    def __init__(self, kind: str) -> None:
        self.port = free_port()
        self.folder = Path(mkdtemp(prefix=f"qcore-{kind}-"))
        self._process: Guarded | None = None
        self._is_frozen = False

    def command(self) -> Sequence[str | Path]:
        """Return what starts it."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Return whether it answers; it runs."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self} does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Say whether it is there, answering or not: it may be frozen or loading its data."""
        return self._process is not None and not self._process.has_ended

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, and do not wait for its answer."""
        assert not self.is_running, f"{self} runs already"
        if self._process is not None:
            # it ended by itself
            self.kill()
        self._process = Guarded(self.command(), self.folder)

    def wait(self) -> None:
        """Return when it answers: a server that loads its data does not."""
        until(self._answers, f"an answer of {self}")

    def _answers(self) -> bool:
        assert self.is_running, f"{self} ended by itself:\n{self.log}"
        return self.answers()

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and return when it has."""
        self.thaw()
        self.end(self.stop_signal)

    def end(self, how: signal.Signals) -> None:
        """Send it a signal, and return when it has ended."""
        assert self._process is not None, f"{self} does not run"
        self._process.end(how)
        self._process = None
        self._is_frozen = False

    def freeze(self) -> None:
        """Stop it in its tracks: it takes connections and requests, and answers none."""
        processes = self._processes()
        for process in processes:
            process.suspend()
        self._is_frozen = True
        stopped = psutil.STATUS_STOPPED
        until(lambda: processes[0].status() == stopped, f"{self} to be frozen")

    def thaw(self) -> None:
        """Let it run on, if it is frozen."""
        if self._is_frozen:
            for process in reversed(self._processes()):
                process.resume()
            self._is_frozen = False

    def close(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self.thaw()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        """Return its processes, the one that makes others first."""
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]
