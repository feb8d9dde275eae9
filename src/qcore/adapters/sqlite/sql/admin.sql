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

-- When the first task of each priority was due, and the first of those that are due and could be pending.
-- Each step of `heads` finds the next priority in the index, whatever is between.
-- name: ready_since
WITH RECURSIVE its(queue) AS (SELECT key FROM qcore_queues WHERE name = ?1),
heads(key) AS (
    SELECT (SELECT key FROM qcore_tasks WHERE queue = (SELECT queue FROM its) AND state = 'pending'
        ORDER BY place, token, sequence LIMIT 1)
    UNION ALL
    SELECT (SELECT next.key FROM qcore_tasks AS next
        WHERE next.queue = (SELECT queue FROM its) AND next.state = 'pending'
            AND next.place > (SELECT place FROM qcore_tasks WHERE key = heads.key)
        ORDER BY next.place, next.token, next.sequence LIMIT 1)
    FROM heads WHERE heads.key IS NOT NULL LIMIT ?2
)
SELECT due FROM heads CROSS JOIN qcore_tasks USING (key)
UNION ALL
SELECT min(place) FROM qcore_tasks
WHERE queue = (SELECT queue FROM its) AND state = 'scheduled' AND place <= ?3
UNION ALL
SELECT min(place) FROM qcore_tasks
WHERE queue = (SELECT queue FROM its) AND state = 'retry' AND place <= ?3

-- name: update
UPDATE qcore_tasks
SET priority = ?, sequence = ?, place = CASE state WHEN 'pending' THEN -? ELSE place END,
    payload = ?, content_type = ?, max_retry = ?, max_crashes = ?, backoff = ?, deadline = ?,
    timeout = ?, expires = ?, retention = ?, headers = ?, more = ?
WHERE key = ?
