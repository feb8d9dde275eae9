-- Which of the tasks that are set aside say this why they are, by id.
-- name: set_aside
SELECT t.id
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.queue = ? AND t.id = n.value
WHERE t.state IN ('archived', 'dead') AND t.error = ?

-- The values of "insert_full" in enqueue.sql, and how far the task has come.
-- name: insert
INSERT INTO qcore_tasks (queue, id, state, place, token, sequence, name, priority, created, due,
    not_before, expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    content_type, headers, payload, more, holds, attempts, failures, crashes, unhandled_since, error,
    result_type, result)
VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: details
INSERT INTO qcore_details (task, errors, progress, saved)
SELECT key, :errors, :progress, :saved FROM qcore_tasks WHERE queue = :queue AND id = :id

-- name: audit
INSERT INTO qcore_audit (task, records)
SELECT key, :audit FROM qcore_tasks WHERE queue = :queue AND id = :id
