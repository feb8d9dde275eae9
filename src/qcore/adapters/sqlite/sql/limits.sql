-- Whether the table has any row: it mostly has none, and to look up each queue costs three times this.
-- name: any
SELECT 1 FROM qcore_limits LIMIT 1

-- name: read
SELECT l.queue, l.count, l.per, l.full, l.in_flight, l.is_paused
FROM json_each(?) AS n CROSS JOIN qcore_limits AS l ON l.queue = n.value

-- name: queues
SELECT q.name FROM qcore_limits AS l JOIN qcore_queues AS q ON q.key = l.queue ORDER BY q.name

-- name: write
INSERT OR REPLACE INTO qcore_limits (queue, count, per, full, in_flight, is_paused)
VALUES (?, ?, ?, ?, ?, ?)

-- name: delete
DELETE FROM qcore_limits WHERE queue = ?
