#!/usr/bin/env bash
# redis-py 8.1.0 reads and parses the metadata of its own distribution for each connection it makes.
#
# Seen: `redis.Connection()` finds out the version that it tells the server (CLIENT SETINFO LIB-VER)
# by `importlib.metadata.version("redis")`, which opens the file METADATA and parses it as an e-mail,
# every time: a hundred connections are a hundred reads, about 0.4 ms of processor time each, before
# anything is sent. A pool of few connections hides it; who connects often, or has a connection for
# each thread or child, pays. What helps: make one `redis.driver_info.DriverInfo()` and pass it to all
# connections as `driver_info`: then there is one read.
#
# Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'redis==8.1.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import sys
from redis import Connection, __version__
from redis.driver_info import DriverInfo

reads = 0


def heard(event, arguments):
    global reads
    reads += event == "open" and str(arguments[0]).endswith("METADATA")


sys.addaudithook(heard)
for _ in range(100):
    Connection()
each, reads = reads, 0
driver = DriverInfo()
for _ in range(100):
    Connection(driver_info=driver)
print(f"redis {__version__}: {each} reads for 100 connections, {reads} with a shared DriverInfo")
PYTHON
)
echo "$seen"
[[ $seen == "redis 8.1.0: 100 reads for 100 connections, 1 with a shared DriverInfo" ]]
