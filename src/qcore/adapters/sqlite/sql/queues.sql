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
-- name: all
SELECT q.key, q.name, q.sequence, q.token, q.scheduled, q.pending, q.aggregating, q.active,
    q.retry, q.completed, q.archived, q.dead
FROM qcore_queues AS q

-- Of a queue whose row has other values than numbers of tasks.
-- name: count_states
SELECT state, count(*) FROM qcore_tasks WHERE queue = ? GROUP BY state

-- The last sequence number that SQLite stores as such.
-- name: last_sequence
SELECT max(sequence) FROM qcore_tasks WHERE queue = ? AND typeof(sequence) = 'integer'

-- name: any_task
SELECT 1 FROM qcore_tasks WHERE queue = ? LIMIT 1

-- name: count_entries
SELECT count(*) FROM qcore_entries WHERE queue = ?

-- name: remove_limits
DELETE FROM qcore_limits WHERE queue = ?

-- name: remove_statistics
DELETE FROM qcore_statistics WHERE queue = ?

-- name: remove
DELETE FROM qcore_queues WHERE key = ?
