-- Of the periods that are not longer than `seconds`, the rows of all names.
-- name: rows
SELECT seconds, start, name, counts::text FROM qcore.statistics
WHERE queue = %(queue)s AND seconds <= %(seconds)s AND start >= %(first)s AND start < %(end)s
ORDER BY seconds, start, name, slot

-- The names that have rows of their own in a period.
-- name: names
SELECT DISTINCT name FROM qcore.statistics
WHERE queue = %(queue)s AND seconds = %(seconds)s AND start = %(start)s

-- Sessions add to rows of their own slot, as the row of one would keep all others waiting until it commits.
-- name: add
INSERT INTO qcore.statistics AS s (queue, seconds, start, name, slot, counts)
SELECT %(queue)s, %(seconds)s, %(start)s, n.name, pg_backend_pid() %% 8, n.counts
FROM unnest(%(names)s::text[], %(counts)s::jsonb[]) AS n (name, counts)
ORDER BY n.name
ON CONFLICT (queue, seconds, start, name, slot) DO UPDATE
SET counts = qcore.add_counts(s.counts, excluded.counts)

-- Who deletes rows has them: another one who does waits, and then finds none.
-- name: take_old
DELETE FROM qcore.statistics
WHERE queue = %(queue)s AND seconds = %(seconds)s AND start < %(before)s
RETURNING start, name, counts::text
