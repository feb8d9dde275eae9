-- name: revision
SELECT revision FROM qcore.entries WHERE queue = %(queue)s AND id = %(id)s FOR UPDATE

-- name: next_revision
SELECT nextval('qcore.token')

-- name: insert
INSERT INTO qcore.entries (queue, id, revision, wake, encoded)
VALUES (%(queue)s, %(id)s, %(revision)s, %(wake)s, %(encoded)s)

-- name: update
UPDATE qcore.entries SET revision = %(revision)s, wake = %(wake)s, encoded = %(encoded)s
WHERE queue = %(queue)s AND id = %(id)s

-- name: delete
DELETE FROM qcore.entries WHERE queue = %(queue)s AND id = %(id)s

-- name: by_id
SELECT e.id, e.revision, e.wake, e.encoded
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    JOIN qcore.entries AS e ON e.queue = ANY(ARRAY[n.queue]) AND e.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C")

-- name: in_order
SELECT id, revision, wake, encoded
FROM qcore.entries
WHERE queue = %(queue)s AND id > %(after)s
ORDER BY id LIMIT %(limit)s

-- name: due
SELECT id, revision, wake, encoded
FROM qcore.entries
WHERE queue = %(queue)s AND wake <= %(now)s AND (wake, id) > (%(wake)s, %(after)s)
ORDER BY wake, id LIMIT %(limit)s

-- name: next_wakes
SELECT (
    SELECT e.wake FROM qcore.entries AS e
    WHERE e.queue = n.queue AND e.wake > %(now)s AND e.wake <= 253402300799
    ORDER BY e.wake LIMIT 1
)
FROM unnest(%(queues)s::text[]) AS n (queue)

-- One look-up for each queue, not one for each entry.
-- name: queues
WITH RECURSIVE found (name) AS (
    (SELECT queue FROM qcore.entries ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT e.queue FROM qcore.entries AS e WHERE e.queue > found.name ORDER BY e.queue LIMIT 1)
    FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL

-- name: states_of_tasks
SELECT t.queue, t.id, t.state
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    CROSS JOIN LATERAL (
        SELECT * FROM qcore.tasks AS x WHERE x.queue = n.queue AND x.id = n.id OFFSET 0
    ) AS t
