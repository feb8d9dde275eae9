"""What a handler logs with `ctx.log`, by how structlog is configured."""

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest
import structlog

from qcore.log.logger import get_logger
from tests.log.kit import without_handlers

SECRET = "hunter" + "2"


def fail(password: str) -> None:
    """Log an error in all the ways there are."""
    log = get_logger("qcore.task").bind(task="send")
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
    with without_handlers(), redirect_stdout(io.StringIO()) as out:
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
    assert get_logger("qcore.task").bind().name == "qcore.task"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Have a handler of `logging`, and no configuration of structlog."""
    kept: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = kept.append  # type: ignore[method-assign]
    with without_handlers():
        logging.getLogger().addHandler(handler)
        logging.getLogger().setLevel(logging.INFO)
        yield kept


def test_handlers_of_the_standard_library_get_the_lines(records: list[logging.LogRecord]) -> None:
    """Where structlog is not configured: the fields are in the text, and are attributes too."""
    get_logger().bind(task="send").warning("task failed", attempt=2)
    [record] = records
    assert (record.name, record.levelno) == ("qcore", logging.WARNING)
    assert record.getMessage() == "task failed task='send' attempt=2"
    assert (vars(record)["task"], vars(record)["attempt"]) == ("send", 2)


def test_their_level_counts(records: list[logging.LogRecord]) -> None:
    """That of the root, or of qcore's own logger."""
    log = get_logger("qcore.task")
    log.debug("too fine")
    logging.getLogger("qcore").setLevel(logging.ERROR)
    try:
        log.info("too fine")
        log.error("100 % gone")
    finally:
        logging.getLogger("qcore").setLevel(logging.NOTSET)
    assert [record.getMessage() for record in records] == ["100 % gone"]


def test_a_field_may_have_any_name(records: list[logging.LogRecord]) -> None:
    """Some are taken in a record: those are in its text."""
    get_logger().info("hello", name="ann", message="x", args=(1,), msg=7, level="high")
    [record] = records
    assert record.name == "qcore"
    assert record.getMessage() == ("hello name='ann' message='x' args=(1,) msg=7 level='high'")


def test_a_traceback_is_the_records_own(records: list[logging.LogRecord]) -> None:
    """A formatter shows it, and an error tracker has the error itself."""
    try:
        fail_once()
    except ValueError as error:
        get_logger().exception("one", n=1)
        get_logger().error("two", exc_info=error)
    get_logger().error("three", stack="Traceback: here")
    one, two, three = records
    for record in (one, two):
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert record.exc_info[0] is ValueError
    assert three.getMessage() == "three\nTraceback: here"


def test_context_variables_are_in_them(records: list[logging.LogRecord]) -> None:
    """As `log_runs` binds the run."""
    with structlog.contextvars.bound_contextvars(task_id="7"):
        get_logger().info("hello")
    assert vars(records[0])["task_id"] == "7"


def test_a_configured_structlog_comes_first(records: list[logging.LogRecord]) -> None:
    """Its author has said where lines go."""
    with structlog.testing.capture_logs() as lines:
        get_logger().info("hello")
    assert [line["event"] for line in lines] == ["hello"]
    assert records == []


def fail_once() -> None:
    """Raise an error with a traceback."""
    raise ValueError("no")
