-- name: groups
SELECT group_name, count(*), min(place), max(place)
FROM qcore_tasks
WHERE queue = (SELECT key FROM qcore_queues WHERE name = ?) AND state = 'aggregating'
    AND group_name > ?
GROUP BY group_name
ORDER BY group_name LIMIT ?

-- name: members
SELECT key, id, state, place, token, sequence, name, priority, created, due, not_before,
    expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    attempts, failures, crashes, unhandled_since, error, result_type, result, content_type,
    headers, more, payload
FROM qcore_tasks
WHERE queue = (SELECT key FROM qcore_queues WHERE name = ?) AND state = 'aggregating'
    AND group_name = ?
ORDER BY place, sequence LIMIT ?
