"""See that the code has changed, for a supervisor that is to run the newest."""

from collections.abc import Callable
from pathlib import Path

from qcore.domain.errors import InvalidOption
from qcore.domain.retry import described
from qcore.log.logger import get_logger


def check_installed() -> None:
    """Raise `InvalidOption` where what watches files is not installed."""
    try:
        import watchfiles  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError:
        raise InvalidOption(
            "reload is set without watchfiles: pip install 'qcore-queue[reload]'"
        ) from None


async def watch_code(folder: Path, on_change: Callable[[str], object]) -> None:
    """Call `on_change`, with what has changed, after changes of Python files below a folder.

    Files of tests, of version control and of environments count as well only where watchfiles'
    `PythonFilter` lets them. Changes that come together are one call.
    """
    # its types name trio's, which need not be installed
    from watchfiles import PythonFilter, awatch  # pyright: ignore[reportUnknownVariableType]

    try:
        async for changes in awatch(folder, watch_filter=PythonFilter()):
            first, *others = sorted({Path(path).name for _, path in changes})
            on_change(f"{first} has changed" + (f", and {len(others)} more" if others else ""))
    except Exception as error:  # noqa: BLE001  (too many files to watch, a folder that is gone)
        reason = described(error)
        get_logger().error("changes of the code are not seen", error=reason)
