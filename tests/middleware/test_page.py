import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcore.middleware import CircuitBreaker, log_runs, timeouts

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "middleware.md"


@pytest.mark.parametrize("middleware", [CircuitBreaker, timeouts, log_runs])
def test_every_parameter_has_a_row_with_its_default(middleware: Callable[..., Any]) -> None:
    """What a middleware takes is on the page, and a number there is the one in the code."""
    [section] = [
        each
        for each in PAGE.read_text(encoding="utf-8").split("\n## ")
        if each.startswith(f"`{middleware.__name__}`")
    ]
    for parameter in inspect.signature(middleware).parameters.values():
        [row] = [row for row in section.splitlines() if row.startswith(f"| `{parameter.name}` |")]
        if isinstance(parameter.default, (int, float)):
            assert f"| {parameter.default:g} |" in row
