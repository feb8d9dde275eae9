-- name: get
SELECT t.id, t.state, t.priority, t.crashes, t.failures, t.attempts, t.max_crashes, t.created, t.due,
    t.not_before, t.expires, t.retention, t.finished, t.unhandled_since, t.name, t.group_name,
    t.holds, t.error, t.result_type, t.options, t.payload, t.result
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    JOIN qcore.tasks AS t ON t.queue = ANY(ARRAY[n.queue]) AND t.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C")

-- The same, to be changed.
-- name: lock
SELECT t.id, t.state, t.priority, t.crashes, t.failures, t.attempts, t.max_crashes, t.created, t.due,
    t.not_before, t.expires, t.retention, t.finished, t.unhandled_since, t.name, t.group_name,
    t.holds, t.error, t.result_type, t.options, t.payload, t.result
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    JOIN qcore.tasks AS t ON t.queue = ANY(ARRAY[n.queue]) AND t.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C")
ORDER BY t.id FOR UPDATE OF t

-- name: browse_pending
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result, (-priority)::float8, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'pending' AND priority <= %(priority)s::smallint
    AND (priority < %(priority)s::smallint OR sequence > %(sequence)s)
ORDER BY priority DESC, sequence LIMIT %(limit)s

-- name: browse_scheduled
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result, due, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'scheduled' AND (due, sequence) > (%(place)s, %(sequence)s)
ORDER BY due, sequence LIMIT %(limit)s

-- name: browse_retry
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result, due, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'retry' AND (due, sequence) > (%(place)s, %(sequence)s)
ORDER BY due, sequence LIMIT %(limit)s

-- name: browse_aggregating
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result, due, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'aggregating' AND (due, sequence) > (%(place)s, %(sequence)s)
ORDER BY due, sequence LIMIT %(limit)s

-- name: browse_active
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result, until, token
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'active' AND (until, token) > (%(place)s, %(sequence)s)
ORDER BY until, token LIMIT %(limit)s

-- name: browse_ended
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result, finished, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = %(state)s AND state IN ('completed', 'archived', 'dead')
    AND (finished, sequence) < (%(place)s, %(sequence)s)
ORDER BY finished DESC, sequence DESC LIMIT %(limit)s

-- When the first task of each priority was due, and the first of those that are due and could be pending.
-- Each step of `heads` finds the next priority in the index, whatever is between.
-- name: ready_since
WITH RECURSIVE heads (priority, due) AS (
    (
        SELECT priority, due FROM qcore.tasks
        WHERE queue = %(queue)s AND state = 'pending' ORDER BY priority DESC, sequence LIMIT 1
    )
    UNION ALL
    SELECT next.priority, next.due
    FROM heads CROSS JOIN LATERAL (
        SELECT t.priority, t.due FROM qcore.tasks AS t
        WHERE t.queue = %(queue)s AND t.state = 'pending' AND t.priority < heads.priority
        ORDER BY t.priority DESC, t.sequence LIMIT 1
    ) AS next
)
SELECT min(first.due) FROM (
    (SELECT due FROM heads LIMIT %(priorities)s)
    UNION ALL
    (
        SELECT due FROM qcore.tasks
        WHERE queue = %(queue)s AND state = 'scheduled' AND due <= %(now)s ORDER BY due LIMIT 1
    )
    UNION ALL
    (
        SELECT due FROM qcore.tasks
        WHERE queue = %(queue)s AND state = 'retry' AND due <= %(now)s ORDER BY due LIMIT 1
    )
) AS first

-- One that has another priority gets a new place.
-- name: update
WITH changed AS MATERIALIZED (
    SELECT u.*, CASE WHEN u.place IS NOT NULL THEN nextval('qcore.sequence') END AS sequence
    FROM (
        SELECT * FROM unnest(%(queues)s::text[], %(ids)s::text[], %(places)s::int[], %(priorities)s::smallint[],
            %(max_crashes)s::int[], %(expires)s::float8[], %(retention)s::float8[],
            %(options)s::text[], %(payloads)s::bytea[])
            AS v (queue, id, place, priority, max_crashes, expires, retention, options, payload)
        ORDER BY place OFFSET 0
    ) AS u
)
UPDATE qcore.tasks AS t
SET priority = c.priority, sequence = coalesce(c.sequence, t.sequence), max_crashes = c.max_crashes,
    expires = c.expires, retention = c.retention, options = c.options, payload = c.payload
FROM changed AS c WHERE t.queue = ANY(ARRAY[c.queue]) AND t.id BETWEEN (c.id COLLATE "C") AND (c.id COLLATE "C")
