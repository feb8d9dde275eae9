"""The table `[tool.qcore]` of the working folder's pyproject.toml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from qcore.domain.errors import InvalidOption

FILE: Final = "pyproject.toml"
SOURCE: Final = f"[tool.qcore] of {FILE}"
"""Where a value comes from, as messages say it."""
_NAME: Final = b"qcore"


def project_settings() -> Mapping[str, Any]:
    """Return the settings of the project in the working folder by name, none if it has no table.

    A name is that of a flag, with `_` for each `-`. No other folder is looked at: modules, and the
    file of the default URL, are looked for in the working folder too. Raises `InvalidOption` for a
    file that cannot be read.
    """
    try:
        data = Path(FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidOption(f"{FILE} cannot be read: {error.strerror}") from None
    # a file that says nothing of qcore may be anything
    return _table(data) if _NAME in data else {}


def _table(data: bytes) -> Mapping[str, Any]:
    # here, as few programs have such a table
    import tomllib

    try:
        found: object = tomllib.loads(data.decode()).get("tool", {}).get("qcore", {})
    except ValueError as error:
        raise InvalidOption(f"{FILE} is no TOML: {error}") from None
    except AttributeError:
        return {}
    if not isinstance(found, dict):
        raise InvalidOption(f"tool.qcore of {FILE} is {found!r}: expected a table, [tool.qcore]")
    named = cast("dict[str, Any]", found)
    return {name.replace("-", "_"): value for name, value in named.items()}
