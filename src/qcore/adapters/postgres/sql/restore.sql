-- Which of the tasks that are set aside say this why they are.
-- name: set_aside
SELECT t.queue, t.id, t.state IN ('archived', 'dead') AND t.error = %(over)s
FROM qcore.tasks AS t
    JOIN unnest(%(queues)s::text[], %(ids)s::text[]) AS n (queue, id)
    ON t.queue = n.queue AND t.id = n.id
