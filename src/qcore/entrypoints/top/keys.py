"""The keys of `qcore top`, as one table: the view goes by it, its help and the page show it."""

from typing import Final

from qcore.domain.record import record


@record
class Key:
    """What some keys do."""

    action: str
    """The name of the method of the application, after `do_`; or the order that it asks about."""
    keys: tuple[str, ...]
    """As textual names them, which is as they are written for all that one can type."""
    does: str
    is_order: bool = False
    """Whether it changes what is in the store: it asks first, and is refused where only reading is
    allowed."""

    @property
    def shown(self) -> str:
        """Return the keys as people read them."""
        return " ".join(_SHOWN.get(key, key) for key in self.keys)


_SHOWN: Final = {
    "question_mark": "?",
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "asterisk": "*",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "home": "Home",
    "end": "End",
    "enter": "Enter",
    "escape": "Esc",
    "space": "Space",
    "tab": "Tab",
    "shift+tab": "Shift-Tab",
    "ctrl+c": "Ctrl-C",
    "ctrl+z": "Ctrl-Z",
    "ctrl+l": "Ctrl-L",
}

KEYS: Final = (
    Key("overview", ("1",), "queues: tasks by state, first waiting, rates, limits"),
    Key("tasks", ("2",), "tasks of a query, by state"),
    Key("workers", ("3",), "workers, and what each of their slots runs"),
    Key("errors", ("4",), "failed tasks by cause"),
    Key("periodic", ("5",), "periodic tasks"),
    Key("down", ("down", "j"), "next row; past the last one the next page"),
    Key("up", ("up", "k"), "row before; before the first one the page before"),
    Key("left", ("left", "h"), "of tasks, the tab to the left; elsewhere back"),
    Key("right", ("right", "l"), "of tasks, the tab to the right; elsewhere open"),
    Key("next_tab", ("tab",), "next tab, or view"),
    Key("previous_tab", ("shift+tab",), "tab before, or view"),
    Key("next_page", ("pagedown", "right_square_bracket"), "next page"),
    Key("previous_page", ("pageup", "left_square_bracket"), "page before"),
    Key("first", ("home", "g"), "first row"),
    Key("last", ("end", "G"), "last row"),
    Key("open", ("enter",), "open: tasks of a queue, of an error, of a worker's slot; one task"),
    Key("filter", ("slash",), "filter: tasks of a query, such as state:dead error:timeout"),
    Key("back", ("escape", "backspace"), "back; also drops a filter, ticks, a question"),
    Key("tick", ("x",), "tick a row, or take the tick away"),
    Key("tick_all", ("asterisk",), "tick all that the list has, on other pages too"),
    Key("pause", ("p",), "pause a queue or a periodic task", is_order=True),
    Key("resume", ("u",), "resume it", is_order=True),
    Key("run", ("r",), "run tasks now, with fresh budgets: retry them", is_order=True),
    Key("cancel", ("c",), "cancel tasks: they end as dead", is_order=True),
    Key("archive", ("a",), "archive tasks: they are kept, and do not run", is_order=True),
    Key("delete", ("d",), "delete tasks that do not run", is_order=True),
    Key("copy", ("y",), "copy what the row is about: a name, an id"),
    Key("copy_command", ("Y",), "copy the command that shows the same"),
    Key("hold", ("space",), "hold the picture, or let it go on"),
    Key("reread", ("ctrl+l",), "read and draw anew"),
    Key("help", ("question_mark",), "these keys"),
    Key("suspend", ("ctrl+z",), "to the shell; fg comes back"),
    Key("quit", ("q", "ctrl+c"), "quit"),
)
KEY_OF: Final = {key: each for each in KEYS for key in each.keys}
