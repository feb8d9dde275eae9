-- Which of the tasks that are set aside say this why they are.
-- name: set_aside
SELECT t.queue, t.id, t.state IN ('archived', 'dead') AND t.error = %(over)s
FROM unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    CROSS JOIN LATERAL (
        SELECT * FROM qcore.tasks AS x WHERE x.queue = n.queue AND x.id = n.id OFFSET 0
    ) AS t
