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
CLAIM: Final = Script(_text("claim_fast_path") + _script("claim").text)
COUNT: Final = _script("count")
DETAILS: Final = _script("details")
NEXT_DUE: Final = _script("next_due")
ENQUEUE: Final = Script(_text("enqueue_fast_path") + _script("enqueue").text)
EXTEND: Final = _script("extend")
LIST_GROUPS: Final = _script("list_groups")
SET_LIMIT: Final = _script("set_limit")
LIMITS: Final = _script("limits")
READ: Final = _script("read")
LIST_MEMBERS: Final = _script("list_members")
TRANSITION: Final = _script("transition")
SAVE_DETAILS: Final = _script("save_details")
SWEEP: Final = _script("sweep")
CHECK_PERMISSIONS: Final = _script("check_permissions")
AGGREGATE: Final = _behind("aggregate", enqueue=ENQUEUE)
SETTLE_WITH_FOLLOWUPS: Final = _behind(
    "settle_with_followups", transition=TRANSITION, enqueue=ENQUEUE
)

SCRIPTS: Final = {
    name.lower(): script for name, script in vars().copy().items() if isinstance(script, Script)
}
"""All of them by name."""
