"""What a handler logs with `ctx.log`, by how structlog is configured."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest
import structlog

from qcore.app.tasks.run_logger import run_logger

SECRET = "hunter" + "2"


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Have structlog as it comes, before and after."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def fail(password: str) -> None:
    """Log an error in all the ways there are."""
    log = run_logger().bind(task="send")
    try:
        int(f"{len(password)} characters")
    except ValueError as error:
        log.exception("one")
        log.error("two", exc_info=error)  # noqa: TRY400
        log.error("three", exc_info=True)  # noqa: G201
        log.error("four", exc_info=(ValueError, error, error.__traceback__))  # noqa: TRY400
    log.info("five", n=1)


@pytest.mark.parametrize("is_configured", [False, True], ids=["as it comes", "level only"])
def test_a_console_shows_tracebacks_without_variables(*, is_configured: bool) -> None:
    """Structlog's own way is to show them, where rich is installed."""
    if is_configured:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(20))
    with redirect_stdout(io.StringIO()) as out:
        fail(SECRET)
    text = out.getvalue()
    assert SECRET not in text
    assert text.count("ValueError: invalid") == 4
    assert text.count("in fail") == 4
    assert "five" in text


def test_a_log_that_is_configured_gets_the_error_itself() -> None:
    """Whoever writes JSON, or tells an error tracker, decides what is shown of it."""
    seen: list[dict[str, object]] = []

    def keep(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        seen.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, keep])
    fail(SECRET)
    assert [each["event"] for each in seen] == ["one", "two", "three", "four", "five"]
    assert all("ValueError: invalid" in str(each["exception"]) for each in seen[:4])


def test_a_logger_of_the_standard_library_has_its_name() -> None:
    """So that its level can be set."""
    structlog.configure(
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    assert run_logger().bind().name == "qcore.task"
