"""Who may know whom; the contracts themselves are in pyproject.toml."""

import subprocess
import sys
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
