-- What a move needs to know of a task, for those named.
-- name: named
SELECT t.key, t.id, t.state, t.token, t.sequence, t.priority, t.due, t.expires, t.retention,
    t.group_name, t.holds, t.failures, t.crashes, t.max_crashes, t.error, t.unhandled_since,
    t.attempts
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.queue = ? AND t.id = n.value

-- The same, for those of a state that waits whose moment has come.
-- name: due
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts
FROM qcore_tasks
WHERE queue = ? AND state = ? AND place <= ?
ORDER BY place, token, sequence LIMIT ?

-- The same, for those whose lease is over, the longest ago first.
-- name: late
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts
FROM qcore_tasks
WHERE queue = ? AND state = 'active' AND place <= ?
ORDER BY place, token, sequence LIMIT ?

-- The same, for those that did not start in time.
-- name: stale
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts
FROM qcore_tasks
WHERE queue = ? AND state = 'pending' AND expires <= ?
ORDER BY expires, sequence LIMIT ?

-- name: write
UPDATE qcore_tasks
SET state = ?, place = ?, token = 0, sequence = ?, due = ?, expires = ?, failures = ?, crashes = ?,
    error = ?, unhandled_since = ?, result = ?, result_type = ?
WHERE key = ?

-- name: let_go
UPDATE qcore_tasks SET holds = NULL WHERE key = ?

-- name: forget
DELETE FROM qcore_tasks WHERE key = ?
