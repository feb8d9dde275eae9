-- name: read
SELECT q.key, q.name, q.sequence, q.token, q.scheduled, q.pending, q.aggregating, q.active,
    q.retry, q.completed, q.archived, q.dead
FROM json_each(?) AS n CROSS JOIN qcore_queues AS q ON q.name = n.value

-- name: insert
INSERT INTO qcore_queues (name, sequence, token, scheduled, pending, aggregating, active, retry,
    completed, archived, dead)
VALUES (?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

-- name: write
UPDATE qcore_queues
SET sequence = ?, token = ?, scheduled = ?, pending = ?, aggregating = ?, active = ?, retry = ?,
    completed = ?, archived = ?, dead = ?
WHERE key = ?

-- Reads a row for each queue, not one for each task.
-- name: count
SELECT name, scheduled, pending, aggregating, active, retry, completed, archived, dead
FROM qcore_queues
