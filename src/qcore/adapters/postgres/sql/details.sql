-- name: errors_of_tasks
SELECT d.queue, d.id, d.errors
FROM qcore.details AS d
    JOIN unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    ON d.queue = n.queue AND d.id = n.id

-- name: write_errors
INSERT INTO qcore.details AS d (queue, id, errors)
SELECT * FROM unnest(%(queues)s::text[], %(ids)s::text[], %(errors)s::text[])
ON CONFLICT (queue, id) DO UPDATE SET errors = excluded.errors

-- name: audit_of_tasks
SELECT d.queue, d.id, d.audit
FROM qcore.details AS d
    JOIN unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    ON d.queue = n.queue AND d.id = n.id

-- name: write_audit
INSERT INTO qcore.details AS d (queue, id, audit)
SELECT * FROM unnest(%(queues)s::text[], %(ids)s::text[], %(audit)s::text[])
ON CONFLICT (queue, id) DO UPDATE SET audit = excluded.audit

-- name: save
INSERT INTO qcore.details AS d (queue, id, progress, saved)
VALUES (%(queue)s, %(id)s, %(progress)s, %(saved)s)
ON CONFLICT (queue, id) DO UPDATE SET
    progress = coalesce(excluded.progress, d.progress), saved = coalesce(excluded.saved, d.saved)

-- name: insert
INSERT INTO qcore.details (queue, id, errors, progress, saved, audit)
SELECT * FROM unnest(%(queues)s::text[], %(ids)s::text[], %(errors)s::text[], %(progress)s::text[],
    %(saved)s::bytea[], %(audit)s::text[])

-- name: read
SELECT t.id, d.errors, d.progress, d.saved, d.audit
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    JOIN qcore.tasks AS t ON t.queue = n.queue AND t.id = n.id
    LEFT JOIN qcore.details AS d ON d.queue = t.queue AND d.id = t.id
