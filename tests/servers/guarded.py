"""A child process that ends with us, however we end."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from select import POLLIN, poll

# The shell is the server's parent and waits for a word from us: which signal to send it. If we
# end without a word, its read ends too: it kills the server and removes its folder. So no process
# id is ever used after it could have been given away, and no thread of ours matters, as it would
# for a death signal. What we read from the shell ends when the server does, who alone holds the
# other end, and its children.
GUARD = """
exec 3>&1
"$@" </dev/null >>"$LOG" 2>&1 &
echo $!
exec >/dev/null 3>&-
read -r signal
word=$?
kill -"${signal:-KILL}" $! 2>/dev/null
wait $!
test $word = 0 || rm -rf "$FOLDER"
"""
PATIENCE = 30.0
"""Seconds within which a process ends that was told to."""


class Guarded:
    """A process in a folder; both are gone soon after the process that started it is."""

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        self.log = folder / "log"
        # A session of its own: an interrupt from the keyboard is ours to handle.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", *command],
            env=os.environ | {"LOG": str(self.log), "FOLDER": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        self.pid = int(self._guard.stdout.readline())

    @property
    def has_ended(self) -> bool:
        """Say whether it ended by itself."""
        assert self._guard.stdout is not None
        ends = poll()
        ends.register(self._guard.stdout, POLLIN)
        return bool(ends.poll(0))

    def end(self, how: signal.Signals) -> None:
        """Send a signal that ends it, and return when it has ended."""
        self._guard.communicate(b"%d\n" % how, timeout=PATIENCE)
