"""`qcore` and `python -m qcore` are one command: both import the same files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("qcore")
APPLICATION = """
import pathlib, sys
import click
from qcore import Qcore
q = Qcore("memory://")
print("from", pathlib.Path(__file__).parent.name, click.__name__, file=sys.stderr)
"""


@pytest.mark.system
@pytest.mark.skipif(not SCRIPT.exists(), reason="qcore is not installed as a script")
def test_both_load_the_module_of_the_working_folder(tmp_path: Path) -> None:
    """Though another folder comes before it on the path; and both load the requirements of qcore.

    A file of the working folder that is called as one of those is not imported in its place.
    """
    said = []
    for name in ("elsewhere", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "jobs.py").write_text(APPLICATION)
    (tmp_path / "here" / "click.py").write_text("raise ImportError('this is not click')")
    path = [str(tmp_path / "elsewhere"), os.environ.get("PYTHONPATH")]
    # an empty part would be the working folder
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    for command in ([str(SCRIPT)], [sys.executable, "-m", "qcore"]):
        worker = subprocess.run(
            [*command, "worker", "jobs:q", "--burst", "--log-level", "error"],
            cwd=tmp_path / "here",
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        said.append((worker.returncode, worker.stderr))
    assert said == [(0, "from here click\n")] * 2
