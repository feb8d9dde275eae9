-- Where tasks are named by ids, no plan may depend on how many there are: a plan is kept for a session, and
-- statistics say of a table that is empty just then that to read all of it is cheapest. So a read is LATERAL,
-- and its subquery, which locks or has an OFFSET, stays one. A write joins by `= ANY (ARRAY[…])` and
-- BETWEEN: other than by `=`, no order of the table helps the join, and no way is left but to look up each.

-- The columns that a transition reads or writes, in the order of `TaskState`; here, of tasks by id.
-- Locked in the order of the arrays, which are sorted: so those who lock the same wait for each other one way
-- round alone.
-- name: by_id
SELECT t.queue, t.id, t.state, t.token, t.priority, t.due, t.expires, t.retention, t.group_name, t.holds,
    t.failures, t.crashes, t.max_crashes, t.error, t.unhandled_since, t.attempts, t.name
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    CROSS JOIN LATERAL (
        SELECT * FROM qcore.tasks AS x WHERE x.queue = n.queue AND x.id = n.id FOR UPDATE
    ) AS t

-- The same columns, of tasks in one waiting state whose moment has come.
-- name: due
SELECT queue, id, state, token, priority, due, expires, retention, group_name, holds, failures,
    crashes, max_crashes, error, unhandled_since, attempts, name, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'scheduled' AND due <= %(now)s
ORDER BY due, sequence LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: retrying
SELECT queue, id, state, token, priority, due, expires, retention, group_name, holds, failures,
    crashes, max_crashes, error, unhandled_since, attempts, name, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'retry' AND due <= %(now)s
ORDER BY due, sequence LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- The same columns, of active tasks whose lease has run out.
-- name: lease_expired
SELECT queue, id, state, token, priority, due, expires, retention, group_name, holds, failures,
    crashes, max_crashes, error, unhandled_since, attempts, name
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'active' AND until <= %(now)s
ORDER BY token LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- The same columns, of pending tasks whose expiry has passed, the longest ago first.
-- name: expired
SELECT queue, id, state, token, priority, due, expires, retention, group_name, holds, failures,
    crashes, max_crashes, error, unhandled_since, attempts, name
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'pending' AND expires IS NOT NULL AND expires <= %(now)s
ORDER BY expires, sequence LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- A new place, one behind the other, for those whose `place` is not null. What has ended holds no key.
-- name: write
WITH moved AS MATERIALIZED (
    SELECT u.*, CASE WHEN u.place IS NOT NULL THEN nextval('qcore.sequence') END AS sequence
    FROM (
        SELECT * FROM unnest(%(queues)s::text[], %(ids)s::text[], %(states)s::text[],
            %(places)s::int[], %(due)s::float8[], %(expires)s::float8[], %(finished)s::float8[], %(failures)s::int[],
            %(crashes)s::int[], %(errors)s::text[], %(unhandled)s::float8[], %(results)s::bytea[],
            %(result_types)s::text[])
            AS v (queue, id, state, place, due, expires, finished, failures, crashes, error,
                unhandled_since, result, result_type)
        ORDER BY place OFFSET 0
    ) AS u
)
UPDATE qcore.tasks AS t
SET state = m.state, sequence = coalesce(m.sequence, t.sequence), token = NULL, until = NULL,
    due = m.due, expires = m.expires, finished = m.finished, failures = m.failures,
    crashes = m.crashes, error = m.error, unhandled_since = m.unhandled_since, result = m.result,
    result_type = m.result_type,
    holds = CASE WHEN m.state IN ('completed', 'archived', 'dead') THEN NULL ELSE t.holds END
FROM moved AS m WHERE t.queue = ANY(ARRAY[m.queue]) AND t.id BETWEEN (m.id COLLATE "C") AND (m.id COLLATE "C")

-- name: delete
DELETE FROM qcore.tasks AS t
USING unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
WHERE t.queue = ANY(ARRAY[n.queue]) AND t.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C")

-- name: delete_details
DELETE FROM qcore.details AS t
USING unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
WHERE t.queue = ANY(ARRAY[n.queue]) AND t.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C")

-- name: release_unique_key
UPDATE qcore.tasks AS t SET holds = NULL
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
WHERE t.queue = ANY(ARRAY[n.queue]) AND t.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C")

-- Gives unique keys that have become free to those that wait for them. One that has not been moved
-- meanwhile is due at the moment that was asked for.
-- name: start_successors
WITH waiting AS MATERIALIZED (
    SELECT t.queue, t.id
    FROM unnest(%(queues)s::text[], %(waiting)s::text[]) AS n (queue, holds)
        CROSS JOIN LATERAL (
            SELECT * FROM qcore.tasks AS x WHERE x.queue = n.queue AND x.holds = n.holds FOR UPDATE
        ) AS t
)
UPDATE qcore.tasks AS t
SET holds = substr(t.holds, 2),
    due = CASE WHEN t.state = 'scheduled' AND t.due = %(never)s
        THEN greatest(t.created, t.not_before) ELSE t.due END
FROM waiting AS w
WHERE t.queue = ANY(ARRAY[w.queue]) AND t.id BETWEEN (w.id COLLATE "C") AND (w.id COLLATE "C")
RETURNING t.queue
