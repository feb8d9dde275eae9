-- name: read
SELECT queue, count, per, full_at, in_flight, is_paused
FROM qcore.limits WHERE queue = ANY(%(queues)s::text[])

-- The same, of which the caller takes from the bucket, or counts what is active: who claims waits.
-- name: lock
SELECT queue, count, per, full_at, in_flight, is_paused
FROM qcore.limits WHERE queue = ANY(%(queues)s::text[])
ORDER BY queue FOR UPDATE

-- name: queues
SELECT queue FROM qcore.limits ORDER BY queue

-- name: write
INSERT INTO qcore.limits (queue, count, per, full_at, in_flight, is_paused)
VALUES (%(queue)s, %(count)s, %(per)s, %(full)s, %(in_flight)s, %(is_paused)s)
ON CONFLICT (queue) DO UPDATE SET count = excluded.count, per = excluded.per,
    full_at = excluded.full_at, in_flight = excluded.in_flight, is_paused = excluded.is_paused

-- name: delete
DELETE FROM qcore.limits WHERE queue = %(queue)s

-- name: active
SELECT count(*) FROM qcore.tasks WHERE queue = %(queue)s AND state = 'active'

-- name: has_pending
SELECT 1 FROM qcore.tasks WHERE queue = %(queue)s AND state = 'pending' LIMIT 1
