-- Whether the tables have any row: in most databases they have none, and a delete by key can be left
-- out.
-- name: any
SELECT 1 FROM qcore_details LIMIT 1

-- name: any_audit
SELECT 1 FROM qcore_audit LIMIT 1

-- name: errors_of_task
SELECT errors FROM qcore_details WHERE task = ?

-- name: write_errors
INSERT INTO qcore_details (task, errors) VALUES (?, ?)
ON CONFLICT (task) DO UPDATE SET errors = excluded.errors

-- name: audit_of_tasks
SELECT a.task, a.records FROM json_each(?) AS n CROSS JOIN qcore_audit AS a ON a.task = n.value

-- name: write_audit
INSERT OR REPLACE INTO qcore_audit (task, records) VALUES (?, ?)

-- name: save
INSERT INTO qcore_details (task, progress, saved) VALUES (?, ?, ?)
ON CONFLICT (task) DO UPDATE SET
    progress = coalesce(excluded.progress, progress), saved = coalesce(excluded.saved, saved)

-- name: delete
DELETE FROM qcore_details WHERE task = ?

-- name: delete_audit
DELETE FROM qcore_audit WHERE task = ?

-- name: read
SELECT t.id, d.errors, d.progress, d.saved, a.records
FROM json_each(?) AS n
    CROSS JOIN qcore_tasks AS t
    ON t.queue = (SELECT key FROM qcore_queues WHERE name = ?) AND t.id = n.value
    LEFT JOIN qcore_details AS d ON d.task = t.key
    LEFT JOIN qcore_audit AS a ON a.task = t.key
