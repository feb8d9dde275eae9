-- The tables, in a schema of their own; the schema's name takes the place of `qcore.` in every statement.

-- From the catalog's tables: functions such as to_regclass answer from a cache, which does not know within a
-- transaction what another one has made meanwhile.
-- Names of users are quoted, as messages have them within statements.
-- name: find
SELECT
    current_setting('server_encoding'),
    quote_ident(current_user),
    quote_ident(pg_get_userbyid(n.nspowner)),
    quote_ident(pg_get_userbyid(c.relowner)),
    has_database_privilege(current_database(), 'CREATE'),
    coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false),
    coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false),
    coalesce(pg_has_role(c.relowner, 'USAGE'), false)
FROM (SELECT) AS one
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = %(schema)s
    LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'meta'

-- name: lock
SELECT pg_advisory_xact_lock(%(key)s)

-- name: meta
CREATE TABLE qcore.meta (version integer NOT NULL)

-- name: version
SELECT max(version) FROM qcore.meta

-- name: set_version
INSERT INTO qcore.meta (version) VALUES (%(version)s)

-- name: raise_version
UPDATE qcore.meta SET version = %(version)s

-- Numbers tasks as they become pending: those of one priority are claimed in this order. Sequences do not
-- wait for transactions, and never go back.
-- name: sequence
CREATE SEQUENCE qcore.sequence AS bigint

-- Fencing tokens, of all queues. They are kept above the time in microseconds, and up to the bound of the table's
-- one row: see `tokens.py`.
-- name: token
CREATE SEQUENCE qcore.token AS bigint

-- name: token_bound
CREATE TABLE qcore.token_bound (bound bigint NOT NULL)

-- A sequence that begins anew when the server has failed. Before PostgreSQL 15 there is none: then it has no bound.
-- name: unlogged_token
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 150000 THEN
        ALTER SEQUENCE qcore.token SET UNLOGGED;
        INSERT INTO qcore.token_bound SELECT last_value FROM qcore.token;
    END IF;
END
$$

-- Few columns are indexed, and none of them for all states: a partial index for each way in which tasks of
-- a state are looked for. Room is left on each page (fillfactor), so that what changes no index stays on its
-- page and needs no vacuum (a HOT update): renewed leases above all. A claim is none, and adds an entry to the
-- primary key: half of its pages is left for that, as a page that is full is looked through for entries that
-- may go, for each that comes. Texts are compared byte by byte, as Python does.
-- `due` is when a task may run; `until` the end of the lease of an active one, whose `token` is null in any
-- other state; `finished` the moment at which it ended.
-- `holds` is the unique key that the task holds; null once the task has ended, or the key's time was over
-- and another task took it. A lock of its own could be left behind: this one goes with its row. The
-- successor of a holder holds the key behind a line feed, which no key contains.
-- `options` has the task options for which there is no column, as a JSON object; null for the usual ones.
-- Times are epoch seconds.
-- name: tasks
CREATE TABLE qcore.tasks (
    queue text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    priority smallint NOT NULL,
    crashes integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    max_crashes integer NOT NULL,
    sequence bigint NOT NULL DEFAULT nextval('qcore.sequence'),
    token bigint,
    created double precision NOT NULL,
    due double precision NOT NULL,
    not_before double precision,
    expires double precision,
    retention double precision NOT NULL,
    until double precision,
    finished double precision,
    unhandled_since double precision,
    name text COLLATE "C" NOT NULL,
    group_name text COLLATE "C",
    holds text COLLATE "C",
    error text,
    result_type text,
    options text,
    payload bytea NOT NULL,
    result bytea,
    PRIMARY KEY (queue, id) WITH (fillfactor = 50),
    CHECK (state IN (
        'scheduled', 'pending', 'aggregating', 'active', 'retry', 'completed', 'archived', 'dead'
    )),
    CHECK (state <> 'aggregating' OR group_name <> ''),
    CHECK ((state = 'active') = (token IS NOT NULL))
) WITH (
    fillfactor = 70,
    toast_tuple_target = 1024,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
)

-- Of what exists already, only pages that are split from now on have the room.
-- name: primary_key_room
ALTER INDEX qcore.tasks_pkey SET (fillfactor = 50)

-- name: pending
CREATE INDEX tasks_pending ON qcore.tasks (queue, priority DESC, sequence) WHERE state = 'pending'

-- name: waiting
CREATE INDEX tasks_waiting ON qcore.tasks (queue, state, due, sequence)
WHERE state IN ('scheduled', 'retry', 'aggregating')

-- Without `until`, so that a lease is renewed within its page: few tasks are active.
-- name: active
CREATE INDEX tasks_active ON qcore.tasks (queue, token) WHERE state = 'active'

-- name: ended
CREATE INDEX tasks_ended ON qcore.tasks (queue, state, finished, sequence)
WHERE state IN ('completed', 'archived', 'dead')

-- name: kept
CREATE INDEX tasks_kept ON qcore.tasks (queue, (finished + retention), sequence)
WHERE state = 'completed'

-- name: expiring
CREATE INDEX tasks_expiring ON qcore.tasks (queue, expires, sequence)
WHERE state = 'pending' AND expires IS NOT NULL

-- name: grouped
CREATE INDEX tasks_grouped ON qcore.tasks (queue, group_name, due, sequence)
WHERE state = 'aggregating'

-- name: by_key
CREATE UNIQUE INDEX tasks_by_key ON qcore.tasks (queue, holds) WHERE holds IS NOT NULL

-- Error history, progress and audit trail (JSON), and saved work of a task's runs; most tasks have no row
-- here.
-- name: details
CREATE TABLE qcore.details (
    queue text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    errors text,
    progress text,
    saved bytea,
    audit text,
    PRIMARY KEY (queue, id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)

-- Limits of a queue: `count` starts in `per` seconds, `in_flight` at a time, or a pause; a queue without
-- limits has no row here. `full_at` is the moment at which the bucket of its rate is full again. Claims of
-- a limited queue lock its row: they take turns.
-- name: limits
CREATE TABLE qcore.limits (
    queue text COLLATE "C" PRIMARY KEY,
    count integer,
    per double precision,
    full_at double precision NOT NULL,
    in_flight integer,
    is_paused boolean NOT NULL
) WITH (fillfactor = 50)

-- name: workers
CREATE TABLE qcore.workers (
    id text COLLATE "C" PRIMARY KEY,
    expires double precision NOT NULL,
    info text NOT NULL
) WITH (fillfactor = 50)

-- Entries of periodic tasks, `encoded` as JSON. `wake`, which is a member of that too, is the moment at
-- which a scheduler has to look at it.
-- name: entries
CREATE TABLE qcore.entries (
    queue text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    wake double precision,
    encoded text NOT NULL,
    PRIMARY KEY (queue, id)
) WITH (fillfactor = 70)

-- name: waking
CREATE INDEX entries_waking ON qcore.entries (queue, wake, id) WHERE wake IS NOT NULL

-- What has ended, by queue, period and task name, as a JSON object of numbers by the fields that
-- domain/statistics.py has. A period of `seconds` (60, 3600 or 86400) begins at `start`. Verdicts that are
-- written at the same time add to rows of different slots, as they would wait for each other.
-- name: statistics
CREATE TABLE qcore.statistics (
    queue text COLLATE "C" NOT NULL,
    seconds integer NOT NULL,
    start bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    slot smallint NOT NULL,
    counts jsonb NOT NULL,
    PRIMARY KEY (queue, seconds, start, name, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)

-- All tasks are counted: the one thing for which the whole table is read, where statements of qcore are
-- planned without that.
-- name: count_tasks
CREATE FUNCTION qcore.count_tasks() RETURNS TABLE (queue text, state text, number bigint)
LANGUAGE sql STABLE SET enable_seqscan = on AS $$
    SELECT t.queue, t.state, count(*) FROM qcore.tasks AS t GROUP BY t.queue, t.state
$$

-- name: add_counts
CREATE FUNCTION qcore.add_counts(one jsonb, other jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT jsonb_object_agg(each.key, each.number) FROM (
        SELECT pairs.key, sum(pairs.value::bigint) AS number
        FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)) AS pairs
        GROUP BY pairs.key
    ) AS each
$$
