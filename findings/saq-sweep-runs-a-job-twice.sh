#!/usr/bin/env bash
# SAQ 0.26.4: the sweeper puts a job that a worker has just taken back into the queue, and it runs twice.
#
# Seen: on Redis, `dequeue` moves a job to the list of active ones, and its worker writes the status `active`
# in a second call. `sweep`, which each worker calls when it starts and every minute, takes a job between the
# two for one that was left behind: it waits five seconds at most for the job to be aborted, and enqueues it
# again, from the copy that it had read, with no attempt counted. So a job with `retries=1`, the default, runs
# twice. Below, the two calls of a worker and a sweep between them; workers that had just started were seen
# to do it, too. What helps: handlers that may run twice, and a call of `sweep` before workers start, as its
# lock keeps theirs away for a minute.
#
# Needs `redis-server` on the PATH. Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
redis-server --port 0 --unixsocket "$folder/redis" --save '' --dir "$folder" >/dev/null &
server=$!
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'saq==0.26.4' 'redis==7.4.0' typing_extensions # which it imports and does not demand

seen=$("$folder/venv/bin/python" - "unix://$folder/redis" <<'PYTHON'
import asyncio
import sys

from redis.asyncio import Redis
from saq import Status
from saq.queue.redis import RedisQueue


async def main() -> None:
    queue = RedisQueue(Redis.from_url(sys.argv[1]), name="shop")
    await queue.connect()
    await queue.enqueue("charge", order=7)
    taken = await queue.dequeue(timeout=1)
    swept = asyncio.create_task(queue.sweep(abort=0.1))
    await asyncio.sleep(0.05)
    taken.attempts += 1
    await taken.update(status=Status.ACTIVE)
    await swept
    again = await queue.dequeue(timeout=1)
    print(again is not None and (again.key == taken.key, again.retries, again.attempts))
    await queue.disconnect()


asyncio.run(main())
PYTHON
)
printf '%s\n' "$seen"
[[ $seen == "(True, 1, 0)" ]]
