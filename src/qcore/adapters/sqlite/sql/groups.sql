-- name: groups
SELECT group_name, count(*), min(place), max(place)
FROM qcore_tasks
WHERE queue = (SELECT key FROM qcore_queues WHERE name = ?) AND state = 'aggregating'
    AND group_name > ? AND place <= 253402300799
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

-- Whether a task that waits has lost its group, by somebody's hand. Two searches: with OR, SQLite
-- 3.53 looks through all that wait.
-- name: groupless
SELECT 1 FROM qcore_queues AS q
WHERE q.name = ? AND (
    EXISTS (
        SELECT 1 FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'aggregating' AND t.group_name IS NULL
    )
    OR EXISTS (
        SELECT 1 FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'aggregating' AND t.group_name = ''
    )
)

-- Tasks of a group whose name is no text; they ended, as far as is known, when they began to wait.
-- name: end_unreadable
UPDATE qcore_tasks
SET state = 'dead', place = iif(place <= 253402300799, place, 0), token = 0, error = :error, holds = NULL
WHERE queue = :queue AND state = 'aggregating'
    AND (group_name = :name OR group_name = CAST(:name AS TEXT))
RETURNING key

-- name: end_groupless
UPDATE qcore_tasks
SET state = 'dead', place = iif(place <= 253402300799, place, 0), token = 0, error = :error, holds = NULL
WHERE key IN (
    SELECT key FROM qcore_tasks
    WHERE queue = :queue AND state = 'aggregating' AND group_name IS NULL
    UNION ALL
    SELECT key FROM qcore_tasks
    WHERE queue = :queue AND state = 'aggregating' AND group_name = ''
)
RETURNING key
