-- name: get
SELECT t.key, t.id, t.state, t.place, t.token, t.sequence, t.name, t.priority, t.created,
    t.due, t.not_before, t.expires, t.deadline, t.timeout, t.retention, t.max_retry,
    t.max_crashes, t.backoff, t.group_name, t.attempts, t.failures, t.crashes,
    t.unhandled_since, t.error, t.result_type, t.result, t.content_type, t.headers, t.more,
    t.payload
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t
    ON t.queue = (SELECT key FROM qcore_queues WHERE name = ?) AND t.id = n.value

-- name: browse_ascending
SELECT key, id, state, place, token, sequence, name, priority, created, due, not_before,
    expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    attempts, failures, crashes, unhandled_since, error, result_type, result, content_type,
    headers, more, payload
FROM qcore_tasks
WHERE queue = (SELECT key FROM qcore_queues WHERE name = ?) AND state = ?
    AND (place, token, sequence) > (?, ?, ?)
ORDER BY place, token, sequence LIMIT ?

-- name: browse_descending
SELECT key, id, state, place, token, sequence, name, priority, created, due, not_before,
    expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    attempts, failures, crashes, unhandled_since, error, result_type, result, content_type,
    headers, more, payload
FROM qcore_tasks
WHERE queue = (SELECT key FROM qcore_queues WHERE name = ?) AND state = ?
    AND (place, token, sequence) < (?, ?, ?)
ORDER BY place DESC, token DESC, sequence DESC LIMIT ?

-- name: update
UPDATE qcore_tasks
SET priority = ?, sequence = ?, place = CASE state WHEN 'pending' THEN -? ELSE place END,
    payload = ?, content_type = ?, max_retry = ?, max_crashes = ?, backoff = ?, deadline = ?,
    timeout = ?, expires = ?, retention = ?, headers = ?, more = ?
WHERE key = ?
