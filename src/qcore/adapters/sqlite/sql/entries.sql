-- Ids and entries are read as bytes: a text that is not UTF-8 must not pass for another one.

-- name: revision
SELECT revision FROM qcore_entries WHERE queue = ? AND id = ?

-- name: write
INSERT OR REPLACE INTO qcore_entries (queue, id, revision, wake, encoded) VALUES (?, ?, ?, ?, ?)

-- name: delete
DELETE FROM qcore_entries WHERE queue = ? AND id = ?

-- name: by_id
SELECT CAST(e.id AS BLOB), e.revision, e.wake, CAST(e.encoded AS BLOB)
FROM json_each(?) AS n CROSS JOIN qcore_entries AS e ON e.queue = ? AND e.id = n.value

-- name: in_order
SELECT CAST(id AS BLOB), revision, wake, CAST(encoded AS BLOB)
FROM qcore_entries
WHERE queue = :queue AND id > CAST(:after AS TEXT)
ORDER BY id LIMIT :limit

-- name: due
SELECT CAST(id AS BLOB), revision, wake, CAST(encoded AS BLOB)
FROM qcore_entries
WHERE queue = :queue AND wake <= :now AND (wake, id) > (:wake, CAST(:after AS TEXT))
ORDER BY wake, id LIMIT :limit

-- Behind the end of the year 9999 are moments that somebody has edited, and what is no number.
-- name: next_wakes
SELECT (
    SELECT e.wake FROM qcore_entries AS e
    WHERE e.queue = n.value AND e.wake > ? AND e.wake <= 253402300799
    ORDER BY e.wake LIMIT 1
)
FROM json_each(?) AS n

-- One look-up for each queue, not one for each entry.
-- name: queues
WITH RECURSIVE found (name) AS (
    SELECT min(queue) FROM qcore_entries
    UNION ALL
    SELECT (SELECT min(e.queue) FROM qcore_entries AS e WHERE e.queue > found.name) FROM found
    WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL

-- name: states_of_tasks
SELECT t.id, t.state
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t
    ON t.queue = (SELECT key FROM qcore_queues WHERE name = ?) AND t.id = n.value
