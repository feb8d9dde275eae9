#!/usr/bin/env bash
# croniter 7.0.0: a range that wraps around the end of its field loses its count where it has a step.
#
# Seen: croniter takes ranges that wrap, such as `22-2` for hours or `sat-mon`. Where one has a step,
# the values behind the end of the field are one too late, or missing. Counted as it is within a
# field, `22-4/3` is 22, 1 and 4, and `sat-mon/2` is Saturday and Monday; croniter has 22 and 2, and
# Saturday alone. `expand` skips one value too many behind the end. A job is silently not run, or is
# run at another hour. What helps: write the values as a list.
#
# Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'croniter==7.0.0'

seen=$("$folder/venv/bin/python" - <<'PYTHON'
from croniter import croniter


def counted(first: int, last: int, step: int, low: int, size: int) -> list[int]:
    return sorted((value - low) % size + low for value in range(first, last + size + 1, step))


(_, hours, *_), _ = croniter.expand("0 22-4/3 * * *")
(*_, days), _ = croniter.expand("0 0 * * sat-mon/2")
print(hours, counted(22, 4, 3, 0, 24))
print(days, counted(6, 1, 2, 0, 7))
PYTHON
)
printf '%s\n' "$seen"
[[ $seen == $'[2, 22] [1, 4, 22]\n[6] [1, 6]' ]]
