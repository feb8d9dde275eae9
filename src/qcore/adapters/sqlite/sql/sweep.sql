-- Whether a sweep would find any task to move or delete; run as a read, which takes no lock.
-- Where tasks are active a sweep takes the lock in any case: while another program holds it, their
-- leases cannot be renewed, and a sweep that is answered must not say that they could.
-- name: anything
SELECT 1
FROM json_each(:queues) AS n CROSS JOIN qcore_queues AS q ON q.name = n.value
WHERE q.archived > :count
    OR q.dead > :count
    OR q.active <> 0
    OR EXISTS (
        SELECT 1 FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state IN ('scheduled', 'retry', 'aggregating', 'active')
            AND t.place > 253402300799
    )
    OR EXISTS (
        SELECT 1 FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'pending' AND t.expires <= :now
    )
    OR EXISTS (
        SELECT 1 FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'completed' AND t.place + t.retention <= :now
    )
    OR (
        SELECT t.place FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'archived' ORDER BY t.place LIMIT 1
    ) + :age <= :now
    OR (
        SELECT t.place FROM qcore_tasks AS t
        WHERE t.queue = q.key AND t.state = 'dead' ORDER BY t.place LIMIT 1
    ) + :age <= :now
LIMIT 1

-- name: retention_over
SELECT key FROM qcore_tasks
WHERE queue = ? AND state = 'completed' AND place + retention <= ?
ORDER BY place + retention, sequence LIMIT ?

-- name: oldest
SELECT key, place FROM qcore_tasks
WHERE queue = ? AND state = ?
ORDER BY place, token, sequence LIMIT ?

-- name: named
SELECT t.id, t.name FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t ON t.key = n.value

-- Tasks whose place somebody has edited: behind the end of the year 9999 are moments that never come,
-- and behind all numbers texts and blobs.
-- name: misplaced
SELECT key, place FROM qcore_tasks
WHERE queue = ? AND state = ? AND place > 253402300799
ORDER BY place, token, sequence LIMIT ?

-- name: mark_dead
UPDATE qcore_tasks SET state = 'dead', place = ?, token = 0, error = ?, holds = NULL WHERE key = ?

-- The lease of a running task whose place was edited: it ends now, unless its worker renews it.
-- name: end_lease
UPDATE qcore_tasks SET place = ? WHERE key = ?
