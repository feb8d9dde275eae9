"""The scripts of lua/, each behind what they share."""

import re
from importlib.resources import files
from typing import Final

from qcore.adapters.links.redis import Script

_FOLDER: Final = files("qcore.adapters.redis") / "lua"
_NAMED: Final = re.compile(r"^local (?:function )?([\w, ]+)", re.MULTILINE)


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")


_SHARED: Final = _text("common").split("\n\n")
"""What scripts share, in paragraphs, each of which names what it makes."""


def _script(name: str) -> Script:
    """Return a script behind the paragraphs that it uses: Redis makes them anew for each call."""
    text = _text(name)
    for paragraph in reversed(_SHARED):
        names = [each.strip() for made in _NAMED.findall(paragraph) for each in made.split(",")]
        if any(re.search(rf"\b{each}\b", text) for each in names):
            text = f"{paragraph}\n\n{text}"
    return Script(text)


def _behind(name: str, **parts: Script) -> Script:
    """Return a script behind others, each a function of its keys and arguments."""
    functions = [
        f"local function {part}(KEYS, ARGV)\n{other.text}\nend\n\n" for part, other in parts.items()
    ]
    return Script("".join(functions) + _script(name).text)


BROWSE: Final = _script("browse")
CLAIM: Final = Script(_text("lone") + _script("claim").text)
COUNT: Final = _script("count")
DETAILS: Final = _script("details")
DUE: Final = _script("due")
ENQUEUE: Final = Script(_text("plain") + _script("enqueue").text)
EXTEND: Final = _script("extend")
GROUPS: Final = _script("groups")
LIMIT: Final = _script("limit")
LIMITS: Final = _script("limits")
LOOK: Final = _script("look")
MEMBERS: Final = _script("members")
MOVE: Final = _script("move")
NOTE: Final = _script("note")
SWEEP: Final = _script("sweep")
TRY: Final = _script("try")
AGGREGATE: Final = _behind("aggregate", enqueue=ENQUEUE)
FOLLOW: Final = _behind("follow", move=MOVE, enqueue=ENQUEUE)

SCRIPTS: Final = {
    name.lower(): script for name, script in vars().copy().items() if isinstance(script, Script)
}
"""All of them by name."""
