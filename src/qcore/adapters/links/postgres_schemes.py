"""The schemes of Postgres URLs, apart from the driver that they need."""

from typing import Final

SCHEMES: Final = ("postgresql", "postgres")
