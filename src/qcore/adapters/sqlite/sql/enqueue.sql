-- Which of the ids are stored.
-- name: by_id
SELECT t.id, t.key, t.state
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.queue = ? AND t.id = n.value

-- Which tasks hold the unique keys, since when, and for how long: that is in `more`.
-- name: holders
SELECT t.holds, t.id, t.key, t.state, CAST(t.created AS REAL), t.more
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.queue = ? AND t.holds = n.value

-- name: insert
INSERT INTO qcore_tasks (queue, id, state, place, token, sequence, name, priority, created, due,
    not_before, expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    content_type, headers, payload)
VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- The same, with rare options and a unique key; apart, as most tasks have neither.
-- name: insert_full
INSERT INTO qcore_tasks (queue, id, state, place, token, sequence, name, priority, created, due,
    not_before, expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    content_type, headers, payload, more, holds)
VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
