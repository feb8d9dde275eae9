-- A claim in one statement, where nothing is to be decided but who gets what: no limit of a queue, nothing
-- that became due, no task among the first that has crashed or has expired, and tokens that are above
-- `floor` and neither above the bound of tokens nor `ahead` below it. Else `is_odd` says so, and nothing is claimed.
-- Where there is a bound (see `tokens.py`), and nothing else is in the transaction (`is_lax`), the commit does not
-- wait for the disk: what a server forgets that fails is claimed again, under another token.
-- SKIP LOCKED passes over what others are claiming. What somebody has changed since the statement began is picked,
-- but not to be found to be updated: where more were `picked` than are claimed, there may be more. The tasks are locked in one materialized step with
-- its own LIMIT: as a subquery of IN, it could be run more than once, and take more (facts of planners,
-- not of the standard). They are updated where they lie (`ctid`), as nobody else can move them by then.
-- The index of what is pending is read in ranges (see `scan_starts.py`): what lies between two priorities, and
-- then what lies behind a task of the lower one. As one range it could only begin at a priority's first entry.
-- Tokens are given in the order of the claim. What is returned is to be sorted by them, as RETURNING has no order:
-- to sort rows that come in their order mostly costs a client next to nothing, and the server a copy of each.
-- name: simple
WITH odd AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM qcore.limits WHERE queue = %(queue)s)
        OR EXISTS (
            SELECT 1 FROM qcore.tasks
            WHERE queue = %(queue)s AND state = 'scheduled' AND due <= %(now)s
        )
        OR EXISTS (
            SELECT 1 FROM qcore.tasks
            WHERE queue = %(queue)s AND state = 'retry' AND due <= %(now)s
        )
        OR t.last_value <= %(floor)s
        OR coalesce(t.last_value NOT BETWEEN b.bound - %(ahead)s AND b.bound - 1, false) AS found,
        b.bound
    FROM qcore.token AS t LEFT JOIN (
        SELECT bound FROM qcore.token_bound ORDER BY bound DESC LIMIT 1
    ) AS b ON true
), picked AS MATERIALIZED (
    SELECT p.*, nextval('qcore.token') AS token
    FROM (
        SELECT t.place, t.crashes, t.expires
        FROM unnest(%(above)s::int[], %(priorities)s::int[], %(behind)s::bigint[])
            AS r (above, priority, behind)
        CROSS JOIN LATERAL (
            SELECT * FROM (
                SELECT ctid AS place, crashes, expires FROM qcore.tasks AS x
                WHERE x.queue = %(queue)s AND x.state = 'pending'
                    AND x.priority < r.above AND x.priority > r.priority
                ORDER BY x.priority DESC, x.sequence LIMIT %(room)s
                FOR UPDATE SKIP LOCKED
            ) AS between
            UNION ALL
            SELECT * FROM (
                SELECT ctid AS place, crashes, expires FROM qcore.tasks AS x
                WHERE x.queue = %(queue)s AND x.state = 'pending'
                    AND x.priority = r.priority AND x.sequence > r.behind
                ORDER BY x.sequence LIMIT %(room)s
                FOR UPDATE SKIP LOCKED
            ) AS behind
        ) AS t
        WHERE NOT (SELECT found FROM odd) LIMIT %(room)s
    ) AS p
), doubtful AS MATERIALIZED (
    SELECT count(*) AS picked,
        coalesce(bool_or(crashes > 0 OR expires <= %(now)s OR token > (SELECT bound FROM odd)), false) AS found
    FROM picked
), lax AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
    FROM odd CROSS JOIN doubtful
    WHERE %(is_lax)s AND odd.bound IS NOT NULL AND NOT odd.found AND NOT doubtful.found
), claimed AS (
    UPDATE qcore.tasks AS t
    SET state = 'active', until = %(until)s, token = p.token, attempts = t.attempts + 1
    FROM picked AS p WHERE t.ctid = p.place AND NOT (SELECT found FROM doubtful)
    RETURNING t.id, t.state, t.priority, t.crashes, t.failures, t.attempts, t.max_crashes, t.created,
        t.due, t.not_before, t.expires, t.retention, t.finished, t.unhandled_since, t.name,
        t.group_name, t.holds, t.error, t.result_type, t.options, t.payload, t.result, t.token,
        t.ctid AS place, t.sequence
)
SELECT odd.found OR doubtful.found AS is_odd, c.*, doubtful.picked
FROM odd CROSS JOIN doubtful LEFT JOIN lax ON true LEFT JOIN claimed AS c ON true

-- The same for several queues. Each one's `share` is its quota, as far as it has so many, and then what room
-- is left, in the order of the queues; `taken` is the first of these, which comes first. Where others claim
-- or change tasks at the same time fewer may be left than were counted: `is_short` says that there may be more elsewhere.
-- Each queue has a slice of the arrays of ranges, up to its `last_range`: to join them by its name would compare
-- each range with each queue.
-- name: several
WITH wanted AS MATERIALIZED (
    SELECT u.*, lag(last_range, 1, 0) OVER (ORDER BY place) + 1 AS first_range
    FROM unnest(%(queues)s::text[], %(quotas)s::int[], %(ends)s::int[])
        WITH ORDINALITY AS u (queue, quota, last_range, place)
), odd AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM qcore.limits WHERE queue = ANY(%(queues)s::text[]))
        OR k.last_value <= %(floor)s
        OR coalesce(k.last_value NOT BETWEEN b.bound - %(ahead)s AND b.bound - 1, false)
        OR EXISTS (
            SELECT 1 FROM wanted AS w
            WHERE (
                SELECT true FROM qcore.tasks AS t
                WHERE t.queue = w.queue AND t.state = 'scheduled' AND t.due <= %(now)s LIMIT 1
            )
            OR (
                SELECT true FROM qcore.tasks AS t
                WHERE t.queue = w.queue AND t.state = 'retry' AND t.due <= %(now)s LIMIT 1
            )
        ) AS found,
        b.bound
    FROM qcore.token AS k LEFT JOIN (
        SELECT bound FROM qcore.token_bound ORDER BY bound DESC LIMIT 1
    ) AS b ON true
), counted AS MATERIALIZED (
    SELECT w.*, (
        SELECT count(*) FROM (
            SELECT 1 FROM (
                SELECT unnest((%(above)s::int[])[w.first_range:w.last_range]) AS above,
                    unnest((%(priorities)s::int[])[w.first_range:w.last_range]) AS priority,
                    unnest((%(behind)s::bigint[])[w.first_range:w.last_range]) AS behind
            ) AS r
            CROSS JOIN LATERAL (
                SELECT * FROM (
                    SELECT 1 FROM qcore.tasks AS x
                    WHERE x.queue = w.queue AND x.state = 'pending'
                        AND x.priority < r.above AND x.priority > r.priority
                    LIMIT %(room)s
                ) AS between
                UNION ALL
                SELECT * FROM (
                    SELECT 1 FROM qcore.tasks AS x
                    WHERE x.queue = w.queue AND x.state = 'pending'
                        AND x.priority = r.priority AND x.sequence > r.behind
                    LIMIT %(room)s
                ) AS behind
            ) AS t
            LIMIT %(room)s
        ) AS first
    ) AS number
    FROM wanted AS w WHERE NOT (SELECT found FROM odd)
), quotas AS MATERIALIZED (
    SELECT c.*, least(c.number, c.quota) AS taken FROM counted AS c
), shares AS MATERIALIZED (
    SELECT q.queue, q.place, q.first_range, q.last_range, q.taken, (q.taken + greatest(0, least(
        q.number - q.taken,
        %(room)s - sum(q.taken) OVER () - sum(q.number - q.taken) OVER (ORDER BY q.place)
            + (q.number - q.taken)
    )))::bigint AS share
    FROM quotas AS q
), picked AS MATERIALIZED (
    SELECT p.*, nextval('qcore.token') AS token
    FROM (
        SELECT t.spot, t.crashes, t.expires
        FROM shares AS s CROSS JOIN LATERAL (
            SELECT x.*, row_number() OVER () AS rank
            FROM (
                SELECT y.*
                FROM (
                    SELECT unnest((%(above)s::int[])[s.first_range:s.last_range]) AS above,
                        unnest((%(priorities)s::int[])[s.first_range:s.last_range]) AS priority,
                        unnest((%(behind)s::bigint[])[s.first_range:s.last_range]) AS behind
                ) AS r
                CROSS JOIN LATERAL (
                    SELECT * FROM (
                        SELECT x.ctid AS spot, x.crashes, x.expires FROM qcore.tasks AS x
                        WHERE x.queue = s.queue AND x.state = 'pending'
                            AND x.priority < r.above AND x.priority > r.priority
                        ORDER BY x.priority DESC, x.sequence LIMIT s.share
                        FOR UPDATE SKIP LOCKED
                    ) AS between
                    UNION ALL
                    SELECT * FROM (
                        SELECT x.ctid AS spot, x.crashes, x.expires FROM qcore.tasks AS x
                        WHERE x.queue = s.queue AND x.state = 'pending'
                            AND x.priority = r.priority AND x.sequence > r.behind
                        ORDER BY x.sequence LIMIT s.share
                        FOR UPDATE SKIP LOCKED
                    ) AS behind
                ) AS y
                LIMIT s.share
            ) AS x
        ) AS t
        ORDER BY t.rank > s.taken, s.place, t.rank OFFSET 0
    ) AS p
), doubtful AS MATERIALIZED (
    SELECT EXISTS (
        SELECT 1 FROM picked
        WHERE crashes > 0 OR expires <= %(now)s OR token > (SELECT bound FROM odd)
    ) AS found
), lax AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
    FROM odd CROSS JOIN doubtful
    WHERE %(is_lax)s AND odd.bound IS NOT NULL AND NOT odd.found AND NOT doubtful.found
), claimed AS (
    UPDATE qcore.tasks AS t
    SET state = 'active', until = %(until)s, token = p.token, attempts = t.attempts + 1
    FROM picked AS p WHERE t.ctid = p.spot AND NOT (SELECT found FROM doubtful)
    RETURNING t.id, t.state, t.priority, t.crashes, t.failures, t.attempts, t.max_crashes, t.created,
        t.due, t.not_before, t.expires, t.retention, t.finished, t.unhandled_since, t.name,
        t.group_name, t.holds, t.error, t.result_type, t.options, t.payload, t.result, t.token,
        t.ctid AS place, t.sequence, t.queue
)
SELECT odd.found OR doubtful.found AS is_odd, c.*,
    (SELECT coalesce(sum(share), 0) FROM shares) > (SELECT count(*) FROM claimed) AS is_short
FROM odd CROSS JOIN doubtful LEFT JOIN lax ON true LEFT JOIN claimed AS c ON true

-- name: pending
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result, sequence
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'pending'
ORDER BY priority DESC, sequence LIMIT %(room)s
FOR UPDATE SKIP LOCKED

-- Tasks that are locked, in the order of the array.
-- name: claim
WITH given AS MATERIALIZED (
    SELECT n.queue, n.id, nextval('qcore.token') AS token
    FROM (
        SELECT queue, id FROM unnest(%(queues)s::text[], %(ids)s::text[])
            WITH ORDINALITY AS u (queue, id, place)
        ORDER BY place OFFSET 0
    ) AS n
)
UPDATE qcore.tasks AS t
SET state = 'active', until = %(until)s, token = g.token, attempts = t.attempts + 1
FROM given AS g WHERE t.queue = ANY(ARRAY[g.queue]) AND t.id BETWEEN (g.id COLLATE "C") AND (g.id COLLATE "C")
RETURNING t.id, t.token, t.ctid

-- Whether tasks of a queue are pending, or wait in groups.
-- name: has_more
SELECT 1 WHERE EXISTS (SELECT 1 FROM qcore.tasks WHERE queue = %(queue)s AND state = 'pending')
    OR EXISTS (SELECT 1 FROM qcore.tasks WHERE queue = %(queue)s AND state = 'aggregating')

-- For pending rows that cannot be decoded.
-- name: mark_dead
UPDATE qcore.tasks AS t
SET state = 'dead', finished = %(now)s, token = NULL, until = NULL, holds = NULL, error = n.error
FROM unnest(%(queues)s::text[], %(ids)s::text[], %(errors)s::text[]) AS n (queue, id, error)
WHERE t.queue = ANY(ARRAY[n.queue]) AND t.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C")

-- A token says that a task is active: any other has none. What is renewed changes no index: a HOT update.
-- name: extend
UPDATE qcore.tasks AS t SET until = %(until)s
FROM unnest(%(queues)s::text[], %(ids)s::text[], %(tokens)s::bigint[]) AS n (queue, id, token)
WHERE t.queue = ANY(ARRAY[n.queue]) AND t.id BETWEEN (n.id COLLATE "C") AND (n.id COLLATE "C") AND t.token = ANY(ARRAY[n.token])
RETURNING t.queue, t.id, t.token

-- name: next_due
SELECT
    (
        SELECT t.due FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'scheduled' ORDER BY t.due LIMIT 1
    ),
    (
        SELECT t.due FROM qcore.tasks AS t
        WHERE t.queue = n.queue AND t.state = 'retry' ORDER BY t.due LIMIT 1
    )
FROM unnest(%(queues)s::text[]) AS n (queue)

-- name: tokens
SELECT t.last_value > %(floor)s
    AND coalesce(t.last_value BETWEEN b.bound - %(ahead)s AND b.bound - 1, true), b.bound
FROM qcore.token AS t LEFT JOIN (
        SELECT bound FROM qcore.token_bound ORDER BY bound DESC LIMIT 1
    ) AS b ON true

-- name: lock_tokens
SELECT pg_advisory_xact_lock(%(key)s)

-- Commits to the disk whatever the session's setting is: a bound that others see has to be there.
-- name: raise_tokens
WITH seen AS MATERIALIZED (
    SELECT t.last_value, b.bound
    FROM qcore.token AS t LEFT JOIN (
        SELECT bound FROM qcore.token_bound ORDER BY bound DESC LIMIT 1
    ) AS b ON true
), low AS MATERIALIZED (
    SELECT greatest(last_value, bound, %(floor)s) AS given
    FROM seen
    WHERE last_value <= %(floor)s OR last_value NOT BETWEEN bound - %(ahead)s AND bound - 1
), raised AS (
    UPDATE qcore.token_bound SET bound = low.given + 2 * %(ahead)s
    FROM low
    RETURNING CASE WHEN current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', true) END
)
SELECT setval('qcore.token', low.given + %(ahead)s) FROM low LEFT JOIN raised ON true

-- name: bound
SELECT max(bound) FROM qcore.token_bound

-- name: raise_bound
UPDATE qcore.token_bound SET bound = greatest(bound, %(bound)s)
