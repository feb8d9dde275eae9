"""Rarely used task options, stored as one JSON object in the column `more`.

A column each would cost every task, even as NULL, a quarter of a microsecond whenever it moves.
"""

from typing import Final

from qcore.adapters.sqlite.row_validation import COLUMN_OF
from qcore.domain.new_task import FIELDS
from qcore.domain.stored_options import StoredOptions

RARE_FIELDS: Final = [each for each in FIELDS.values() if each.name not in COLUMN_OF]
RARE_OPTIONS: Final = StoredOptions("more", RARE_FIELDS)
