-- Runs that have succeeded, of tasks that are gone by that: without retention, and without a unique key for
-- which another one may wait. They are looked for where their claim has left them (`ctid`): that saves a search in
-- the index for each, and the queues and ids. A token says that a row is still what was claimed, as none is given
-- twice. What was moved, or does not fit, is left to the general case. They are counted in the statistics if all of them are gone; else the tokens
-- of those that are say which.
-- name: succeed
WITH gone AS (
    DELETE FROM qcore.tasks AS t
    USING unnest(%(places)s::tid[], %(tokens)s::bigint[]) AS n (place, token)
    WHERE t.ctid = n.place AND t.token = n.token AND t.retention = 0 AND t.holds IS NULL
    RETURNING t.queue, t.id, n.token
), forgotten AS (
    DELETE FROM qcore.details AS d USING gone AS g
    WHERE d.queue = ANY(ARRAY[g.queue]) AND d.id BETWEEN (g.id COLLATE "C") AND (g.id COLLATE "C")
), counted AS (
    INSERT INTO qcore.statistics AS s (queue, seconds, start, name, slot, counts)
    SELECT n.queue, %(seconds)s, %(start)s, n.name, pg_backend_pid() %% 8, n.counts
    FROM unnest(%(counted)s::text[], %(names)s::text[], %(counts)s::jsonb[]) AS n (queue, name, counts)
    WHERE (SELECT count(*) FROM gone) = %(number)s
    ORDER BY n.queue, n.name
    ON CONFLICT (queue, seconds, start, name, slot) DO UPDATE
    SET counts = qcore.add_counts(s.counts, excluded.counts)
)
SELECT count(*), CASE WHEN count(*) < %(number)s THEN array_agg(token) END,
    (SELECT true FROM qcore.limits WHERE in_flight IS NOT NULL LIMIT 1)
FROM gone
