-- The columns that a transition reads or writes, in the order of `TaskState`; here, of tasks by id.
-- name: by_id
SELECT t.key, t.id, t.state, t.token, t.sequence, t.priority, t.due, t.expires, t.retention,
    t.group_name, t.holds, t.failures, t.crashes, t.max_crashes, t.error, t.unhandled_since,
    t.attempts
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.queue = ? AND t.id = n.value

-- The same columns, of tasks in one waiting state whose moment has come.
-- name: due
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts
FROM qcore_tasks
WHERE queue = ? AND state = ? AND place <= ?
ORDER BY place, token, sequence LIMIT ?

-- The same columns, of active tasks whose lease has run out, the longest ago first.
-- name: lease_expired
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts
FROM qcore_tasks
WHERE queue = ? AND state = 'active' AND place <= ?
ORDER BY place, token, sequence LIMIT ?

-- The same columns, of pending tasks whose expiry has passed, the longest ago first.
-- name: expired
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

-- name: release_unique_key
UPDATE qcore_tasks SET holds = NULL WHERE key = ?

-- name: delete
DELETE FROM qcore_tasks WHERE key = ?
