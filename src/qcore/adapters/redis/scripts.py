"""The scripts of lua/, each behind what they share."""

from importlib.resources import files
from typing import Final

from qcore.adapters.links.redis import Script

_FOLDER: Final = files("qcore.adapters.redis") / "lua"
_COMMON: Final = (_FOLDER / "common.lua").read_text(encoding="utf-8")


def _script(name: str) -> Script:
    return Script(_COMMON + (_FOLDER / f"{name}.lua").read_text(encoding="utf-8"))


BROWSE: Final = _script("browse")
CLAIM: Final = _script("claim")
COUNT: Final = _script("count")
DUE: Final = _script("due")
ENQUEUE: Final = _script("enqueue")
EXTEND: Final = _script("extend")
LOOK: Final = _script("look")
MOVE: Final = _script("move")
SWEEP: Final = _script("sweep")

SCRIPTS: Final = {
    name.lower(): script for name, script in vars().copy().items() if isinstance(script, Script)
}
"""All of them by name."""
