"""The application: keys lead from view to view, orders are asked about, the store is read anew."""

import asyncio
from contextlib import suppress
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.events import Event, Resize
from textual.events import Key as KeyPressed
from textual.screen import Screen
from textual.widgets import Input, Static

from qcore.app.client.queries import Query
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.moments import Moment
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.output import cell
from qcore.entrypoints.top import frame
from qcore.entrypoints.top.counting import CountingBroker
from qcore.entrypoints.top.help_view import HelpView
from qcore.entrypoints.top.keys import KEY_OF
from qcore.entrypoints.top.listing import NOTHING, Listing
from qcore.entrypoints.top.navigation import Navigation
from qcore.entrypoints.top.ordering import Orders
from qcore.entrypoints.top.refreshing import Refresher
from qcore.entrypoints.top.stack import Stack
from qcore.entrypoints.top.task_list import TaskList
from qcore.entrypoints.top.view import EVERY

YES: Final = "y"


class _Plain(Screen[None], inherit_bindings=False):
    """A screen whose keys are all ours."""


class Top(App[None], inherit_bindings=False):
    """Show what a store holds, and give it orders."""

    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = False
    CSS: ClassVar[str] = """
    Screen { background: ansi_default; color: ansi_default; }
    Static { height: 1; width: 1fr; }
    Input { height: 1; border: none; padding: 0; background: ansi_default; color: ansi_default;
            display: none; }
    Input:focus { border: none; }
    """

    def __init__(self, store: Store, broker: CountingBroker, *, is_read_only: bool = True) -> None:
        # the terminal's own colours, on its own background: light, dark, or none
        super().__init__(ansi_color=True)
        self.stack = Stack()
        self.listing = Listing()
        self.refresher = Refresher(store, broker, self._read)
        self.said: Text | None = None
        """What is told in the last line until the next key."""
        self._store = store
        self.orders = Orders(store, self.stack, self.listing, self, is_read_only=is_read_only)
        self._navigation = Navigation(self.stack, self.listing, self)
        self._head, self._title, self._line, self._foot = (Static() for _ in range(4))
        self._filter = Input(placeholder="state:dead name:email:* error:timeout", compact=True)
        self._wrong: Text | None = None
        """What is wrong with the query that is being typed."""
        self._read_at = store.now()
        self.failure: Exception | None = None
        """A fault that has ended it."""
        self._reader: asyncio.Task[None] | None = None

    def get_default_screen(self) -> Screen[None]:
        """Return the one screen."""
        return _Plain()

    def compose(self) -> ComposeResult:
        """Yield the lines from top to bottom."""
        yield from (self._head, self._title, self._line, self.listing, self._filter, self._foot)

    def on_mount(self) -> None:
        """Begin to read."""
        self.screen.set_focus(None)
        self._reader = asyncio.create_task(self._keep_reading())
        # for how long there has been no answer, also while one is waited for
        self.set_interval(EVERY, self.draw)

    async def on_unmount(self) -> None:
        """Read no more."""
        await self.orders.close()
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    def on_resize(self, _: Resize) -> None:
        """Read as many rows as there is room for now."""
        self.refresher.ask()

    # --- reading -------------------------------------------------------------------------------

    async def _keep_reading(self) -> None:
        try:
            await self.refresher.run(self.draw)
        except Exception as error:  # noqa: BLE001  (told by who has started the application)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        # textual would show the variables of each frame, and so what tasks carry
        self.failure = error
        self.exit()

    async def _read(self) -> float:
        view, revision = self.stack.view, self.stack.view.revision
        try:
            page = await view.read(self._store, self.size.width, self.listing.room)
        except QcoreError as error:
            if not isinstance(error, InvalidOption):
                raise
            self.say(str(error), "red")
            return view.every
        if (view, revision) == (self.stack.view, view.revision):
            view.page, self._read_at = page, self._store.now()
            self.listing.show(page, view)
        return view.every

    @property
    def is_settled(self) -> bool:
        """Return whether what is to be shown is shown, and no order is on its way."""
        return self.refresher.is_idle and self.orders.is_idle

    def draw(self) -> None:
        """Draw the lines around the list."""
        width, page, now = self.size.width, self.listing.page, self._store.now()
        self._head.update(
            frame.head(
                self.stack.root,
                self._read_at,
                width,
                is_read_only=self.orders.is_read_only,
                is_held=self.refresher.is_held,
            )
        )
        way = frame.trail(self.stack.titles, width - page.aside.cell_len - 1)
        title = Text.assemble((cell(way), "bold"), "  ", (self._store.url, "bright_black"))
        self._title.update(frame.between(title, page.aside, width))
        self._line.update(self._wrong or page.line)
        self._foot.update(self._last_line(width, now))

    def _last_line(self, width: int, now: Moment) -> Text:
        """Return a question, or what is wrong, or what was said, or hints."""
        refresher, question = self.refresher, self.orders.question
        if question is not None:
            return frame.question(question.question, width)
        told = self.said or frame.hints(width, is_read_only=self.orders.is_read_only)
        if refresher.outage is not None:
            told = frame.trouble(refresher.outage, now)
        return frame.between(told, frame.cost(refresher.calls, refresher.seconds), width)

    def say(self, text: str, style: str = "") -> None:
        """Tell something in the last line."""
        self.said = Text(cell(text), style=style)
        self.draw()

    def reread(self) -> None:
        """Show what was last read of a view, and read it anew."""
        view = self.stack.view
        if self.listing.view is not view:
            self.listing.show(view.page or NOTHING, view)
        self.refresher.ask()
        self.draw()

    # --- keys ----------------------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Take a key before anybody else does, in the order in which keys were typed."""
        if not isinstance(event, KeyPressed) or event.is_forwarded:
            await super().on_event(event)
        elif self.screen.focused is not self._filter:
            try:
                self._press(event)
            except Exception as error:  # noqa: BLE001  (as above)
                self._fail(error)
        elif event.key == "escape":
            self._close_filter()
        else:
            await super().on_event(event)

    def _press(self, event: KeyPressed) -> None:
        name = event.character if (event.character or "").isalpha() else event.key
        self.said = None
        self.orders.stop_counting()
        key = KEY_OF.get(name or "")
        if self.orders.question is not None:
            self.orders.answer(is_sure=name == YES)
        elif key is not None and key.is_order:
            self.orders.ask(key.action)
        elif key is not None:
            owner = self if hasattr(self, f"do_{key.action}") else self._navigation
            getattr(owner, f"do_{key.action}")()
        self.draw()

    def do_filter(self) -> None:
        """Ask for a query."""
        self._filter.value = str(self.stack.view.query)
        self._foot.display, self._filter.display = False, True
        # at once: what is typed next belongs to the query, and is no key of ours
        self.screen.set_focus(self._filter)

    def _close_filter(self) -> None:
        self.screen.set_focus(None)
        self._wrong = None
        self._foot.display, self._filter.display = True, False
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Show the tasks of the query that was asked for."""
        event.stop()
        try:
            query = Query.parse(event.value)
        except InvalidOption as error:
            self._wrong = Text(cell(str(error)), style="red")
            self.draw()
            return
        self._close_filter()
        if not self.stack.view.filter(query):
            self.stack.open(TaskList(query))
        self.reread()

    def do_back(self) -> None:
        """Stop what is being done, or go back."""
        if not self.orders.stop():
            self._navigation.do_back()

    def do_copy(self) -> None:
        """Copy what the row is about."""
        if (row := self.listing.row) is not None:
            self._copy(self.stack.view.copied(row))

    def do_copy_command(self) -> None:
        """Copy the command that shows the same."""
        self._copy(self.stack.view.command())

    def _copy(self, text: str) -> None:
        self.copy_to_clipboard(text)
        self.say(f"copied: {text}")

    def do_hold(self) -> None:
        """Read no more until the next time, or go on."""
        self.refresher.is_held = not self.refresher.is_held
        self.refresher.ask()

    def do_reread(self) -> None:
        """Read and draw anew."""
        self.refresher.ask()
        self.screen.refresh(layout=True)

    def do_help(self) -> None:
        """Show the keys."""
        if not isinstance(self.stack.view, HelpView):
            self.stack.open(HelpView(is_read_only=self.orders.is_read_only))
        self.reread()

    def do_suspend(self) -> None:
        """Leave for the shell."""
        self.action_suspend_process()

    def do_quit(self) -> None:
        """Leave."""
        self.exit()
