-- Tasks that were written to a log which somebody has removed: they are in the attached database `lost`,
-- a copy. Whatever is stored in `main` stays as it is.

-- name: queues
INSERT INTO main.qcore_queues (name, sequence, token, scheduled, pending, aggregating, active, retry,
    completed, archived, dead)
SELECT name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM lost.qcore_queues AS l
WHERE NOT EXISTS (SELECT 1 FROM main.qcore_queues AS q WHERE q.name = l.name)

-- name: counters
UPDATE main.qcore_queues AS q
SET (sequence, token) = (
    SELECT max(q.sequence, l.sequence), max(q.token, l.token)
    FROM lost.qcore_queues AS l WHERE l.name = q.name
)
WHERE q.name IN (SELECT name FROM lost.qcore_queues)

-- name: tasks
INSERT INTO main.qcore_tasks (queue, holds, id, state, place, token, sequence, name, priority, created,
    due, not_before, expires, deadline, timeout, retention, max_retry, max_crashes, backoff, group_name,
    attempts, failures, crashes, unhandled_since, error, result_type, result, content_type, headers,
    more, payload)
SELECT q.key,
    CASE WHEN NOT EXISTS (
        SELECT 1 FROM main.qcore_tasks AS h WHERE h.queue = q.key AND h.holds = t.holds
    ) THEN t.holds END,
    t.id, t.state, t.place, t.token, t.sequence, t.name, t.priority, t.created,
    t.due, t.not_before, t.expires, t.deadline, t.timeout, t.retention, t.max_retry, t.max_crashes,
    t.backoff, t.group_name, t.attempts, t.failures, t.crashes, t.unhandled_since, t.error,
    t.result_type, t.result, t.content_type, t.headers, t.more, t.payload
FROM lost.qcore_tasks AS t
    JOIN lost.qcore_queues AS l ON l.key = t.queue
    JOIN main.qcore_queues AS q ON q.name = l.name
WHERE NOT EXISTS (SELECT 1 FROM main.qcore_tasks AS m WHERE m.queue = q.key AND m.id = t.id)
RETURNING key

-- Of those just inserted, by their keys.
-- name: details
INSERT OR IGNORE INTO main.qcore_details (task, errors, progress, saved)
SELECT m.key, d.errors, d.progress, d.saved
FROM json_each(?) AS n
    JOIN main.qcore_tasks AS m ON m.key = n.value
    JOIN main.qcore_queues AS q ON q.key = m.queue
    JOIN lost.qcore_queues AS l ON l.name = q.name
    JOIN lost.qcore_tasks AS t ON t.queue = l.key AND t.id = m.id
    JOIN lost.qcore_details AS d ON d.task = t.key

-- Nothing if the log was lost by a qcore that did not have the table yet.
-- name: audit_columns
PRAGMA lost.table_info(qcore_audit)

-- Of those just inserted, by their keys.
-- name: audit
INSERT OR IGNORE INTO main.qcore_audit (task, records)
SELECT m.key, a.records
FROM json_each(?) AS n
    JOIN main.qcore_tasks AS m ON m.key = n.value
    JOIN main.qcore_queues AS q ON q.key = m.queue
    JOIN lost.qcore_queues AS l ON l.name = q.name
    JOIN lost.qcore_tasks AS t ON t.queue = l.key AND t.id = m.id
    JOIN lost.qcore_audit AS a ON a.task = t.key

-- name: limits
INSERT OR IGNORE INTO main.qcore_limits (queue, count, per, full, in_flight, is_paused)
SELECT q.key, v.count, v.per, v.full, v.in_flight, v.is_paused
FROM lost.qcore_limits AS v
    JOIN lost.qcore_queues AS l ON l.key = v.queue
    JOIN main.qcore_queues AS q ON q.name = l.name

-- Those that lie in both, and have been written since by one or by both.
-- name: entries_of_both
SELECT m.queue, CAST(m.id AS BLOB), m.revision, m.wake, CAST(m.encoded AS BLOB),
    CAST(l.id AS BLOB), l.revision, l.wake, CAST(l.encoded AS BLOB)
FROM lost.qcore_entries AS l
    JOIN main.qcore_entries AS m ON m.queue = l.queue AND m.id = l.id
WHERE m.revision <> l.revision

-- A greater revision was given later.
-- name: entries
INSERT OR REPLACE INTO main.qcore_entries (queue, id, revision, wake, encoded)
SELECT l.queue, l.id, l.revision, l.wake, l.encoded
FROM lost.qcore_entries AS l
WHERE NOT EXISTS (
    SELECT 1 FROM main.qcore_entries AS m
    WHERE m.queue = l.queue AND m.id = l.id AND m.revision >= l.revision
)

-- Nothing if the log was lost by a qcore that did not have the table yet.
-- name: statistics_columns
PRAGMA lost.table_info(qcore_statistics)

-- name: statistics
INSERT OR IGNORE INTO main.qcore_statistics (queue, seconds, start, name, counts)
SELECT q.key, s.seconds, s.start, s.name, s.counts
FROM lost.qcore_statistics AS s
    JOIN lost.qcore_queues AS l ON l.key = s.queue
    JOIN main.qcore_queues AS q ON q.name = l.name

-- name: counts
UPDATE main.qcore_queues AS q
SET (scheduled, pending, aggregating, active, retry, completed, archived, dead) = (
    SELECT sum(state = 'scheduled'), sum(state = 'pending'), sum(state = 'aggregating'),
        sum(state = 'active'), sum(state = 'retry'), sum(state = 'completed'),
        sum(state = 'archived'), sum(state = 'dead')
    FROM main.qcore_tasks AS t WHERE t.queue = q.key
)
WHERE EXISTS (SELECT 1 FROM main.qcore_tasks AS t WHERE t.queue = q.key)
