"""Who may know whom; the contracts themselves are in pyproject.toml."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_room_knows_only_what_it_may() -> None:
    """Every import-linter contract in pyproject.toml is kept."""
    # In a process of its own: the linter reconfigures logging and sys.path for good.
    script = Path(sys.executable).with_name("lint-imports")
    linter = subprocess.run(
        [script, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert linter.returncode == 0, linter.stdout + linter.stderr


def test_no_adapter_but_the_links_may_touch_a_wire() -> None:
    """Whoever adds an adapter adds it to the contract too."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {each["id"]: each for each in settings["tool"]["importlinter"]["contracts"]}
    paths = (ROOT / "src" / "qcore" / "adapters").iterdir()
    names = {path.stem for path in paths} - {"__init__", "__pycache__", "links"}
    assert {f"qcore.adapters.{name}" for name in names} <= set(contracts["wires"]["source_modules"])


def test_system_tests_are_marked_in_their_own_modules() -> None:
    """`make test-system` collects no others, so a mark that a helper lends would be missed."""
    lent = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if not path.name.startswith("test_") and "mark.system" in path.read_text(encoding="utf-8")
    ]
    assert lent == []
