"""Run all parts, or those named, and print their figures as one JSON object."""

import json
import platform
import sys
from importlib import import_module
from os import getloadavg

PARTS = (
    "memory",
    "sqlite",
    "claims",
    "redis",
    "postgres",
    "stepping",
    "idle",
    "sqlite_processes",
    "inspecting",
    "instruments",
)


def main() -> None:
    parts = sys.argv[1:] or PARTS
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit(f"there is no part {unknown[0]!r}: expected some of {', '.join(PARTS)}")
    figures: dict[str, object] = {
        "python": platform.python_version(),
        "load_before": round(getloadavg()[0], 1),
    }
    for part in parts:
        print(f"{part} …", file=sys.stderr, flush=True)
        figures[part] = import_module(f"bench.{part}").figures()
    figures["load_after"] = round(getloadavg()[0], 1)
    print(json.dumps(figures, indent=2))


# a worker process imports this module too, under another name
if __name__ == "__main__":
    main()
