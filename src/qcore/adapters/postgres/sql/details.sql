-- name: errors_of_tasks
SELECT d.queue, d.id, d.errors
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    CROSS JOIN LATERAL (
        SELECT * FROM qcore.details AS x WHERE x.queue = n.queue AND x.id = n.id OFFSET 0
    ) AS d

-- name: write_errors
INSERT INTO qcore.details AS d (queue, id, errors)
SELECT * FROM unnest(%(queues)s::text[], %(ids)s::text[], %(errors)s::text[])
ON CONFLICT (queue, id) DO UPDATE SET errors = excluded.errors

-- name: audit_of_tasks
SELECT d.queue, d.id, d.audit
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    CROSS JOIN LATERAL (
        SELECT * FROM qcore.details AS x WHERE x.queue = n.queue AND x.id = n.id OFFSET 0
    ) AS d

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
    CROSS JOIN LATERAL (
        SELECT x.queue, x.id FROM qcore.tasks AS x WHERE x.queue = n.queue AND x.id = n.id OFFSET 0
    ) AS t
    LEFT JOIN LATERAL (
        SELECT * FROM qcore.details AS x WHERE x.queue = t.queue AND x.id = t.id OFFSET 0
    ) AS d ON true
