"""The last page: what was done, how fast, where it lies, and whether anything is missing."""

from rich.console import Console

from examples.signup import settings
from examples.signup.stage.audit import Verdict
from examples.signup.stage.conductor import MAIL, Outcome
from examples.signup.stage.figures import latencies
from examples.signup.stage.screen import counts_table, latency_table


def show_outcome(console: Console, outcome: Outcome, verdict: Verdict) -> None:
    """Print everything there is to say in the end."""
    _show_figures(console, outcome)
    _show_places(console, outcome)
    _show_verdict(console, verdict)


def _show_figures(console: Console, outcome: Outcome) -> None:
    last = outcome.last
    console.print()
    console.print(counts_table(last.counts))
    console.print()
    console.print(latency_table(latencies(outcome.promises, outcome.tasks, outcome.deliveries)))
    attempts = sum(task.attempts for task in outcome.tasks.values() if task is not None)
    crashed = sum(task.crashes > 0 for task in outcome.tasks.values() if task is not None)
    _say(
        console,
        f"\n{last.ended} tasks in {last.seconds:.1f} s ({last.ended / last.seconds:.0f} a second), "
        f"{last.delivered} e-mails ({last.delivered / last.seconds:.0f} a second).\n"
        f"{attempts} runs: {last.deferred} mails were put off (451) and tried again, "
        f"{last.refused} refused for good (550), and their tasks are dead;\n"
        f"{crashed} tasks were in the hands of the worker that was killed, and were run again.",
    )


def _show_places(console: Console, outcome: Outcome) -> None:
    thumbnails = len(list(settings.THUMBNAILS.glob("*.jpg")))
    _say(
        console,
        f"\n  {len(outcome.deliveries):4} e-mails     {MAIL}/*.eml\n"
        f"  {thumbnails:4} thumbnails  {settings.THUMBNAILS}/*.jpg\n"
        f"     1 report      {settings.REPORT}\n"
        f"     2 logs        {settings.HOME}/worker-*.log\n",
    )


def _show_verdict(console: Console, verdict: Verdict) -> None:
    for line in verdict.excused:
        _say(console, f"  {line}")
    for line in verdict.problems:
        _say(console, f"  {line}", style="red")
    if verdict.problems:
        _say(console, f"FAILED: {len(verdict.problems)} problems.", style="bold red")
    else:
        again = len(verdict.excused)
        twice = f"{again}, each excused by the crash" if again else "nothing"
        _say(console, f"Lost: nothing. Delivered twice: {twice}.", style="bold green")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, highlight=False, soft_wrap=True)
