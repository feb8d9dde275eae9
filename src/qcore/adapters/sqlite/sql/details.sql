-- Whether the table has any row: in most databases it has none, and a delete by key can be left out.
-- name: any
SELECT 1 FROM qcore_details LIMIT 1

-- name: errors_of_task
SELECT errors FROM qcore_details WHERE task = ?

-- name: write_errors
INSERT INTO qcore_details (task, errors) VALUES (?, ?)
ON CONFLICT (task) DO UPDATE SET errors = excluded.errors

-- name: save
INSERT INTO qcore_details (task, progress, saved) VALUES (?, ?, ?)
ON CONFLICT (task) DO UPDATE SET
    progress = coalesce(excluded.progress, progress), saved = coalesce(excluded.saved, saved)

-- name: delete
DELETE FROM qcore_details WHERE task = ?

-- name: read
SELECT t.id, d.errors, d.progress, d.saved
FROM json_each(?) AS n
    CROSS JOIN qcore_tasks AS t
    ON t.queue = (SELECT key FROM qcore_queues WHERE name = ?) AND t.id = n.value
    LEFT JOIN qcore_details AS d ON d.task = t.key
