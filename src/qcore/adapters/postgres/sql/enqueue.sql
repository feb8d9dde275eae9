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
        SELECT 1 FROM given AS g CROSS JOIN LATERAL (
            SELECT 1 FROM qcore.tasks AS x WHERE x.queue = g.queue AND x.id = g.id OFFSET 0
        ) AS t
    )
    ORDER BY place
    RETURNING 1
)
SELECT count(*) FROM stored

-- Which of the ids are stored.
-- name: by_id
SELECT t.queue, t.id, t.state
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    CROSS JOIN LATERAL (
        SELECT * FROM qcore.tasks AS x WHERE x.queue = n.queue AND x.id = n.id FOR UPDATE
    ) AS t

-- Which tasks hold the unique keys or wait for them, since when, and for how long: that is in `options`.
-- name: holders
SELECT t.queue, t.holds, t.id, t.state, t.created, t.options
FROM unnest(%(queues)s::text[], %(holds)s::text[]) AS n (queue, holds)
    CROSS JOIN LATERAL (
        SELECT * FROM qcore.tasks AS x WHERE x.queue = n.queue AND x.holds = n.holds FOR UPDATE
    ) AS t

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
