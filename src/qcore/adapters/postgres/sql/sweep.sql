-- Whether a sweep would find any task to move or delete. Where tasks are active it locks one in any case:
-- while the server takes no writes their leases cannot be renewed, and a sweep that is answered must not
-- say that they could.
-- name: anything
SELECT 1
FROM unnest(%(queues)s::text[]) AS n (queue)
WHERE (SELECT true FROM qcore.tasks AS t WHERE t.queue = n.queue AND t.state = 'active' LIMIT 1)
    OR (
        SELECT true FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'pending' AND t.expires IS NOT NULL
            AND t.expires <= %(now)s
        ORDER BY t.expires LIMIT 1
    )
    OR (
        SELECT true FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'completed' AND t.finished + t.retention <= %(now)s
        ORDER BY t.finished + t.retention LIMIT 1
    )
    OR (
        SELECT true FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'archived' AND t.finished <= %(before)s
        ORDER BY t.finished LIMIT 1
    )
    OR (
        SELECT true FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'dead' AND t.finished <= %(before)s
        ORDER BY t.finished LIMIT 1
    )
    OR (
        SELECT true FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'archived'
        ORDER BY t.finished DESC, t.sequence DESC OFFSET %(count)s LIMIT 1
    )
    OR (
        SELECT true FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'dead'
        ORDER BY t.finished DESC, t.sequence DESC OFFSET %(count)s LIMIT 1
    )
LIMIT 1

-- Writes nothing that anybody sees, and fails where nothing can be written.
-- name: touch
SELECT 1 FROM qcore.tasks WHERE queue = ANY(%(queues)s::text[]) AND state = 'active'
LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: retention_over
SELECT queue, id, name FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'completed' AND finished + retention <= %(now)s
ORDER BY finished + retention, sequence LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- Where those begin, from the last on, that are more than are kept.
-- name: excess
SELECT finished, sequence FROM qcore.tasks
WHERE queue = %(queue)s AND state = %(state)s AND state IN ('archived', 'dead')
ORDER BY finished DESC, sequence DESC OFFSET %(count)s LIMIT 1

-- Archived or dead tasks up to there, or that are too old: the oldest first.
-- name: past_retention
SELECT queue, id, name FROM qcore.tasks
WHERE queue = %(queue)s AND state = %(state)s AND state IN ('archived', 'dead')
    AND ((finished, sequence) <= (%(finished)s, %(sequence)s) OR finished <= %(before)s)
ORDER BY finished, sequence LIMIT %(limit)s FOR UPDATE SKIP LOCKED
