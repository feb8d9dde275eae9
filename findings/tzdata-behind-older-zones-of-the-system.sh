#!/usr/bin/env bash
# tzdata 2026.6 changes nothing where the system has zones of its own, however old: by the data of
# 2025.2, which a Debian of 2025 has, midnight of 2 November 2026 in Havana is an hour later.
#
# Seen: `zoneinfo` looks in the folders of the system first, and in the package tzdata where a zone is
# in none of them (PEP 615). So a pinned, current tzdata is installed and not read, and two hosts with
# the same pinned packages disagree. Cuba keeps its summer time through the winter of 2026 in the data
# of 2026.6, and puts its clocks back on 1 November in those of 2025.2. What helps: an up-to-date
# system, or PYTHONTZPATH set to nothing, which makes Python read the package. Here the folder of the
# older package stands for the system's.
#
# Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'tzdata==2026.6'
"$folder/venv/bin/python" -m pip install -qq --target "$folder/system" 'tzdata==2025.2'

midnight() { # -> the UTC hour of midnight in Havana, 2 November 2026
    "$folder/venv/bin/python" -c '
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

print(datetime(2026, 11, 2, tzinfo=ZoneInfo("America/Havana")).astimezone(UTC).hour)'
}

system=$(PYTHONTZPATH="$folder/system/tzdata/zoneinfo" midnight)
package=$(PYTHONTZPATH="" midnight)
printf 'with the older data as those of the system: %s; with the package alone: %s\n' \
    "$system" "$package"
[[ $system == 5 && $package == 4 ]]
