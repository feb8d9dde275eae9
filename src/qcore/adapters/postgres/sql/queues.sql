-- name: count
SELECT queue, state, number FROM qcore.count_tasks()

-- name: any_task
SELECT count(*) FROM qcore.tasks WHERE queue = %(queue)s

-- name: count_entries
SELECT count(*) FROM qcore.entries WHERE queue = %(queue)s

-- name: remove_limits
DELETE FROM qcore.limits WHERE queue = %(queue)s

-- name: remove_statistics
DELETE FROM qcore.statistics WHERE queue = %(queue)s

-- The queues of which something is counted: one look-up for each, not one for each row.
-- name: counted
WITH RECURSIVE found (name) AS (
    (SELECT queue FROM qcore.statistics ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT s.queue FROM qcore.statistics AS s WHERE s.queue > found.name ORDER BY s.queue LIMIT 1
    )
    FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
