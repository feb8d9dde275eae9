-- Stores tasks in one statement, where nothing is to be decided: none of their ids is stored, and they
-- have no unique keys. Returns how many were stored: all, or none.
-- name: simple
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(queues)s::text[], %(ids)s::text[], %(states)s::text[],
        %(priorities)s::smallint[], %(max_crashes)s::int[], %(due)s::float8[],
        %(not_before)s::float8[], %(expires)s::float8[], %(retention)s::float8[], %(names)s::text[],
        %(groups)s::text[], %(options)s::text[], %(payloads)s::bytea[])
        WITH ORDINALITY AS u (queue, id, state, priority, max_crashes, due, not_before, expires,
            retention, name, group_name, options, payload, place)
), stored AS (
    INSERT INTO qcore.tasks (queue, id, state, priority, max_crashes, created, due, not_before, expires,
        retention, name, group_name, options, payload)
    SELECT queue, id, state, priority, max_crashes, %(now)s, due, not_before, expires, retention, name,
        group_name, options, payload
    FROM given
    WHERE NOT EXISTS (
        SELECT 1 FROM given AS g JOIN qcore.tasks AS t ON t.queue = g.queue AND t.id = g.id
    )
    ORDER BY place
    RETURNING 1
)
SELECT count(*) FROM stored

-- Which of the ids are stored.
-- name: by_id
SELECT t.queue, t.id, t.state
FROM qcore.tasks AS t
    JOIN unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    ON t.queue = n.queue AND t.id = n.id
ORDER BY t.queue, t.id FOR UPDATE OF t

-- Which tasks hold the unique keys or wait for them, since when, and for how long: that is in `options`.
-- name: holders
SELECT t.queue, t.holds, t.id, t.state, t.created, t.options
FROM qcore.tasks AS t
    JOIN unnest(%(queues)s::text[], %(holds)s::text[]) AS n (queue, holds)
    ON t.queue = n.queue AND t.holds = n.holds
ORDER BY t.queue, t.id FOR UPDATE OF t

-- Tasks as they are to be; their sequence numbers are given in this order.
-- name: insert
INSERT INTO qcore.tasks (queue, id, state, priority, max_crashes, created, due, not_before, expires,
    retention, name, group_name, options, payload, holds, attempts, failures, crashes, finished,
    unhandled_since, error, result_type, result)
SELECT queue, id, state, priority, max_crashes, created, due, not_before, expires, retention, name,
    group_name, options, payload, holds, attempts, failures, crashes, finished, unhandled_since, error,
    result_type, result
FROM unnest(%(queues)s::text[], %(ids)s::text[], %(states)s::text[], %(priorities)s::smallint[],
    %(max_crashes)s::int[], %(created)s::float8[], %(due)s::float8[], %(not_before)s::float8[],
    %(expires)s::float8[], %(retention)s::float8[], %(names)s::text[], %(groups)s::text[],
    %(options)s::text[], %(payloads)s::bytea[], %(holds)s::text[], %(attempts)s::int[],
    %(failures)s::int[], %(crashes)s::int[], %(finished)s::float8[], %(unhandled)s::float8[],
    %(errors)s::text[], %(result_types)s::text[], %(results)s::bytea[])
    WITH ORDINALITY AS u (queue, id, state, priority, max_crashes, created, due, not_before, expires,
        retention, name, group_name, options, payload, holds, attempts, failures, crashes, finished,
        unhandled_since, error, result_type, result, place)
ORDER BY place
