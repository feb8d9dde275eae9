import re
import signal
from pathlib import Path

import pytest

from qcore import Context, NewTask, Qcore
from qcore.crash_test import main
from qcore.entrypoints.crash_test import trial as trial_module
from qcore.entrypoints.crash_test.roles import journal, lines_of
from qcore.entrypoints.crash_test.trial import Report, Trial, TrialFailed
from qcore.lifecycle import State


def test_a_broker_that_survives_kills_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Producers and workers are killed, and a worker is frozen."""
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    assert main([url, "--tasks", "40", "--kills", "2"]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"4 kills: 40 tasks acknowledged, 40 completed, 0 lost, \d+ begun more than once\n", said
    )


def test_no_process_of_a_trial_that_failed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that wait for tasks would do so for ever, and one of them is frozen."""
    monkeypatch.setattr(trial_module, "LEASE", 0.0)
    monkeypatch.setattr(trial_module, "PATIENCE", 0.01)
    trial = Trial(f"sqlite:///{tmp_path / 'queue.db'}", "trial", tmp_path, tasks=1_000_000)
    with pytest.raises(TrialFailed, match="has not ended within"):
        trial.run(kills=0)
    statuses = [process.returncode for process in trial._processes]  # noqa: SLF001
    assert statuses == [-signal.SIGKILL] * 3


async def test_a_task_that_is_not_completed_is_lost(tmp_path: Path) -> None:
    """However it was lost: it is gone, or it waits for ever. Nothing is left of the queue."""
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    with journal(tmp_path / "acknowledged") as acknowledged, journal(tmp_path / "begun") as begun:
        for number in range(3):
            acknowledged(number)
        begun(0)
        begun(0)
        begun(1)
    async with Qcore(url, instruments=[]) as q:
        await q.client.enqueue(NewTask("t", id="0", queue="trial", retention=60))
        await q.client.enqueue(NewTask("t", id="1", queue="trial", due=9e9))

        @q.task("t", queue="trial")
        async def run(ctx: Context) -> None: ...

        await q.worker(queues=["trial"], burst=True).run()
        assert await q.inspector.counts() == {"trial": {State.COMPLETED: 1, State.SCHEDULED: 1}}
        report = await Trial(url, "trial", tmp_path, tasks=3).audit()
        assert await q.inspector.counts() == {}
    assert report == Report(acknowledged=3, completed=1, lost=("1", "2"), begun_again=1, kills=0)


def test_half_a_line_acknowledges_nothing(tmp_path: Path) -> None:
    """A kill may end a process while it writes."""
    (tmp_path / "acknowledged").write_text("0\n1\n1")
    assert lines_of(tmp_path / "acknowledged") == {"0": 1, "1": 1}


def test_a_broker_that_keeps_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A kill ends its store, too; so does a URL that nobody knows."""
    assert main(["memory://"]) == 2
    assert "no Capability.DURABLE" in capsys.readouterr().out
    assert main(["box://"]) == 2
    assert "expected one of memory://" in capsys.readouterr().out
