-- name: living
SELECT t.id, t.key, t.state
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.queue = ? AND t.id = n.value

-- name: insert
INSERT INTO qcore_tasks (queue, id, state, place, token, sequence, name, priority, created, due,
    not_before, expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    content_type, headers, payload)
VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
