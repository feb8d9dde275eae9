-- Whether a claim would find a task that is pending or due; run as a read, which takes no lock.
-- name: anything
SELECT 1
FROM json_each(:queues) AS n CROSS JOIN qcore_queues AS q ON q.name = n.value
WHERE q.pending <> 0
    OR EXISTS (
        SELECT 1 FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'scheduled' AND t.place <= :now
    )
    OR EXISTS (
        SELECT 1 FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'retry' AND t.place <= :now
    )
LIMIT 1

-- name: pending
SELECT key, id, state, place, token, sequence, name, priority, created, due, not_before,
    expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    attempts, failures, crashes, unhandled_since, error, result_type, result, content_type,
    headers, more, payload
FROM qcore_tasks
WHERE queue = ? AND state = 'pending'
ORDER BY place, token, sequence LIMIT ?

-- name: claim
UPDATE qcore_tasks SET state = 'active', place = ?, token = ?, attempts = attempts + 1 WHERE key = ?

-- For a pending row that cannot be decoded: `error` says why.
-- name: mark_dead
UPDATE qcore_tasks SET state = 'dead', place = ?, token = 0, error = ? WHERE key = ?

-- name: extend
UPDATE qcore_tasks SET place = ? WHERE key = ?

-- Behind the end of the year 9999 are places that somebody has edited: see sweep.sql.
-- name: next_due
SELECT
    (
        SELECT t.place FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'scheduled' AND t.place <= 253402300799
        ORDER BY t.place LIMIT 1
    ),
    (
        SELECT t.place FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'retry' AND t.place <= 253402300799
        ORDER BY t.place LIMIT 1
    )
FROM json_each(?) AS n CROSS JOIN qcore_queues AS q ON q.name = n.value

-- The current tokens of these queues' active tasks; answered from qcore_tasks_in_order alone.
-- name: active_tokens
SELECT q.name, t.token
FROM json_each(?) AS n CROSS JOIN qcore_queues AS q ON q.name = n.value
    CROSS JOIN qcore_tasks AS t ON t.queue = q.key AND t.state = 'active'
