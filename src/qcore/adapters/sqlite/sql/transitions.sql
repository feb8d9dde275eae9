-- The columns that a transition reads or writes, in the order of `TaskState`; here, of tasks by id.
-- name: by_id
SELECT t.key, t.id, t.state, t.token, t.sequence, t.priority, t.due, t.expires, t.retention,
    t.group_name, t.holds, t.failures, t.crashes, t.max_crashes, t.error, t.unhandled_since,
    t.attempts, t.name
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.queue = ? AND t.id = n.value

-- The same columns, of tasks in one waiting state whose moment has come.
-- name: due
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts,
    name
FROM qcore_tasks
WHERE queue = ? AND state = ? AND place <= ?
ORDER BY place, token, sequence LIMIT ?

-- The same columns, of active tasks whose lease has run out, the longest ago first.
-- name: lease_expired
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts,
    name
FROM qcore_tasks
WHERE queue = ? AND state = 'active' AND place <= ?
ORDER BY place, token, sequence LIMIT ?

-- The same columns, of pending tasks whose expiry has passed, the longest ago first.
-- name: expired
SELECT key, id, state, token, sequence, priority, due, expires, retention,
    group_name, holds, failures, crashes, max_crashes, error, unhandled_since, attempts,
    name
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

-- name: held
SELECT t.holds FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.key = n.value

-- Which tasks are to take over unique keys that have become free.
-- name: successors
SELECT t.key
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t
    ON t.queue = ? AND t.holds = char(10) || n.value

-- One that has not been moved meanwhile is due at the moment that was asked for.
-- name: start_successor
UPDATE qcore_tasks
SET holds = substr(holds, 2),
    place = iif(state = 'scheduled' AND due = :never, max(created, ifnull(not_before, 0)), place),
    due = iif(state = 'scheduled' AND due = :never, max(created, ifnull(not_before, 0)), due)
WHERE key = :key

-- name: delete
DELETE FROM qcore_tasks WHERE key = ?
