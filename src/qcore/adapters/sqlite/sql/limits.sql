-- name: of_queues
SELECT l.queue, l.count, l.per, l.full, l.in_flight, l.is_paused
FROM json_each(?) AS n CROSS JOIN qcore_limits AS l ON l.queue = n.value

-- name: write
INSERT OR REPLACE INTO qcore_limits (queue, count, per, full, in_flight, is_paused)
VALUES (?, ?, ?, ?, ?, ?)

-- name: forget
DELETE FROM qcore_limits WHERE queue = ?
