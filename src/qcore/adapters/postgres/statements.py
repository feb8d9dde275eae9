"""SQL statements, loaded by name from the files in `sql/`.

Each statement there follows a line `-- name: …`, as in aiosql; comments before that line are free.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

_NAMED: Final = re.compile(r"^-- name: (\w+)\n(.*?)(?=^--|\Z)", re.MULTILINE | re.DOTALL)


def statements(file: str) -> Mapping[str, str]:
    """Return the statements of `sql/<file>.sql` by name."""
    package = files("qcore.adapters.postgres")
    text = package.joinpath("sql", f"{file}.sql").read_text(encoding="utf-8")
    return {name: sql.strip() for name, sql in _NAMED.findall(text)}
