"""What moves many: it shows how many and which, asks, and moves them in steps that report."""

import asyncio
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, Final, TypeVar

import click

from qcore.app.client.bulk_moves import DEFAULT_SAMPLE, MovePreview, MoveProgress
from qcore.app.client.queries import Query
from qcore.domain.errors import QcoreError
from qcore.domain.record import record
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.cli.orders import Order
from qcore.entrypoints.cli.output import CLEAR_LINE, cell, print_json
from qcore.entrypoints.cli.task_output import print_tasks, task_record
from qcore.entrypoints.written_numbers import tasks

C = TypeVar("C", bound=Callable[..., Any] | click.Command)
YES: Final = {"y", "yes"}


@record
class Bulk:
    """An order for all tasks of a query."""

    query: Query
    order: Order
    limit: int | None
    is_dry: bool
    is_sure: bool
    as_json: bool

    async def carry_out(self, store: Store) -> None:
        """Show, ask and move, as far as each is wanted."""
        await store.client.open()
        if self.is_dry:
            self._show(await self._preview(store), store)
            return
        if self.is_sure:
            await self._move(store, None)
            return
        refuse_unless_asked(as_json=self.as_json)
        preview = await self._preview(store)
        self._show(preview, store)
        if preview.count or not preview.is_complete:
            confirm(f"{self.order.verb} {self._number(preview)}?")
            await self._move(store, preview)

    async def _preview(self, store: Store) -> MovePreview:
        sample = DEFAULT_SAMPLE if self.limit is None else min(self.limit, DEFAULT_SAMPLE)
        move = self.order.move(store.now())
        return await store.inspector.preview(self.query, move, sample=sample)

    async def _move(self, store: Store, preview: MovePreview | None) -> None:
        so_far = MoveProgress()
        move = self.order.move(store.now())
        as_of = None if preview is None else preview.as_of
        steps = store.inspector.move(self.query, move, as_of=as_of, limit=self.limit)
        try:
            async with aclosing(steps):
                async for so_far in steps:
                    _show_progress(so_far)
        except (asyncio.CancelledError, QcoreError):
            # by Ctrl-C, or the store is gone: what was done stays done
            if so_far.looked:
                click.echo(f"stopped: {_numbers(so_far)}", err=True)
            raise
        _clear_progress()
        self._tell(so_far)

    def _show(self, preview: MovePreview, store: Store) -> None:
        if self.as_json:
            print_json(self._preview_record(preview))
            return
        print_tasks(preview.sample, store.now())
        if self.is_dry or not preview.count:
            # the question has it else
            click.echo(f"{self.order.verb}: {self._number(preview)}", err=not self.is_dry)

    def _number(self, preview: MovePreview) -> str:
        """Return how many would be moved, as far as that was looked at."""
        if self.limit is not None and preview.count >= self.limit:
            return f"{tasks(self.limit)}, as many as --limit allows"
        if preview.is_complete:
            return tasks(preview.count)
        return f"{tasks(preview.count)} or more, after a look at {preview.looked:,}"

    def _tell(self, done: MoveProgress) -> None:
        if self.as_json:
            print_json(self._progress_record(done))
        else:
            click.echo(f"{self.order.verb}: {_numbers(done)}")
        if done.failed:
            raise Unwell(f"the store has refused to {self.order.verb} {tasks(done.failed)}")

    def _preview_record(self, preview: MovePreview) -> Mapping[str, Any]:
        count = preview.count if self.limit is None else min(preview.count, self.limit)
        return {
            "verb": self.order.verb,
            "query": str(self.query),
            "dry_run": True,
            "count": count,
            "complete": preview.is_complete,
            "looked": preview.looked,
            "sample": [task_record(task) for task in preview.sample],
        }

    def _progress_record(self, done: MoveProgress) -> Mapping[str, Any]:
        return {
            "verb": self.order.verb,
            "query": str(self.query),
            "dry_run": False,
            "done": done.done,
            "skipped": done.skipped,
            "failed": done.failed,
            "looked": done.looked,
            "finished": done.is_finished,
        }


def consent_options(command: C) -> C:
    """Add the options --dry-run and --yes, the parameters `is_dry` and `is_sure`."""
    command = click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")(command)
    text = "Show what it would do; change nothing."
    return click.option("--dry-run", "is_dry", is_flag=True, help=text)(command)


def refuse_both(*, is_dry: bool, is_sure: bool) -> None:
    """Raise `Wrong` where it is not to be done, and not to be asked for."""
    if is_dry and is_sure:
        raise Wrong("both --dry-run and --yes are given: expected one of them")


def can_ask() -> bool:
    """Return whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def refuse_unless_asked(*, as_json: bool = False) -> None:
    """Raise `Wrong` where nobody can be asked whether that is meant."""
    if as_json or not can_ask():
        raise Wrong("nobody is asked here: add --yes, or --dry-run to see what it would do")


def confirm(question: str) -> None:
    """Ask; raise `Unwell` for any answer but yes, Ctrl-C and Ctrl-D among them."""
    # not by click: a Ctrl-C is lost that comes while GNU readline, which that uses, prepares itself
    with _interruptible():
        try:
            click.echo(f"{cell(question)} [y/N]: ", nl=False, err=True)
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            answer = ""
    if not answer:
        click.echo(err=True)
    if answer.strip().lower() not in YES:
        raise Unwell("nothing was done")


@contextmanager
def _interruptible() -> Generator[None]:
    """Have Ctrl-C raise `KeyboardInterrupt` while the block lasts.

    An event loop that runs has a handler that cancels its task: a task that waits for a key to be
    pressed does not hear of it, and the question would stay.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show_progress(so_far: MoveProgress) -> None:
    if sys.stderr.isatty():
        text = f"{so_far.done:,} done of {so_far.looked:,} looked at"
        click.echo(f"{CLEAR_LINE}{text}", nl=False, err=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        click.echo(CLEAR_LINE, nl=False, err=True)


def _numbers(so_far: MoveProgress) -> str:
    return f"{tasks(so_far.done)} done, {so_far.skipped:,} skipped, {so_far.failed:,} failed"
