-- The tables. Their names have a prefix, so that they can be in an application's own database.

-- name: meta
CREATE TABLE qcore_meta (
    version INTEGER NOT NULL
)

-- Empty if the table does not exist, in any of the connection's attached databases.
-- name: meta_columns
PRAGMA table_info(qcore_meta)

-- name: version
SELECT max(version) FROM qcore_meta

-- The first tables that are here, to be named in an error.
-- name: other_tables
SELECT name FROM sqlite_schema LIMIT 3

-- name: tables_of_others
SELECT name FROM sqlite_schema WHERE name NOT GLOB 'qcore_*' AND name NOT GLOB 'sqlite_*' LIMIT 1

-- name: set_version
INSERT INTO qcore_meta (version) VALUES (?)

-- name: raise_version
UPDATE qcore_meta SET version = ?

-- A queue's row is removed by an operator alone, and only when the clock has passed its last token:
-- its counters must not go back, or an old lease would fit again.
-- The number of its tasks by state is kept here, in the transactions that change it, because to
-- count a million tasks takes longer than to move them.
-- name: queues
CREATE TABLE qcore_queues (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sequence INTEGER NOT NULL,
    token INTEGER NOT NULL,
    scheduled INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    aggregating INTEGER NOT NULL,
    active INTEGER NOT NULL,
    retry INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    dead INTEGER NOT NULL
)

-- `place` is the sort key of a task within its state: minus its priority when pending, the end of its
-- lease when active, the moment it ended when ended, else the moment it is due. `token` is 0 unless
-- the task is active. `sequence` is kept while it is active, so that a released task goes back to where
-- it was.
-- `holds` is the unique key that the task holds; null once the task has ended, or the key's time was
-- over and another task took it. A lock of its own could be left behind: this one goes with its row.
-- The successor of a holder holds the key behind a line feed, which no key contains.
-- `more` has rarely used task options as a JSON object: a column each, even a null, would cost every
-- task a quarter of a microsecond whenever it moves.
-- Times are epoch seconds, headers a JSON object. The payload is the last column, as SQLite decodes a
-- row no further than to the last column that a statement names.
-- name: tasks
CREATE TABLE qcore_tasks (
    key INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    place REAL NOT NULL,
    token INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    name TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created REAL NOT NULL,
    due REAL NOT NULL,
    not_before REAL,
    expires REAL,
    deadline REAL,
    timeout REAL,
    retention REAL NOT NULL,
    max_retry INTEGER NOT NULL,
    max_crashes INTEGER NOT NULL,
    backoff TEXT,
    group_name TEXT,
    holds TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    unhandled_since REAL,
    error TEXT,
    result_type TEXT,
    result BLOB,
    content_type TEXT NOT NULL,
    headers TEXT,
    more TEXT,
    payload BLOB NOT NULL
)

-- Error history (a JSON array), progress (a JSON object) and saved work of a task's runs; most tasks
-- have no row here.
-- name: details
CREATE TABLE qcore_details (
    task INTEGER PRIMARY KEY,
    errors TEXT,
    progress TEXT,
    saved BLOB
)

-- The audit trail of a task, as a JSON array; one that no operator has touched has no row here.
-- name: audit
CREATE TABLE qcore_audit (
    task INTEGER PRIMARY KEY,
    records TEXT
)

-- Limits of a queue: `count` starts in `per` seconds, `in_flight` at a time, or a pause; a queue without
-- limits has no row here. `full` is the moment at which the bucket of its rate is full again.
-- name: limits
CREATE TABLE qcore_limits (
    queue INTEGER PRIMARY KEY,
    count INTEGER,
    per REAL,
    full REAL NOT NULL,
    in_flight INTEGER,
    is_paused INTEGER NOT NULL
)

-- Workers as they have announced themselves, `info` as JSON; one whose `expires` is over is gone, and
-- its row is removed by the next that announces itself.
-- name: workers
CREATE TABLE qcore_workers (
    id TEXT PRIMARY KEY,
    expires REAL NOT NULL,
    info TEXT NOT NULL
)

-- Entries of periodic tasks, `encoded` as JSON. `wake`, which is a member of that too, is the moment at
-- which a scheduler has to look at it. Named by its queue rather than by the key of that: an entry is
-- there also where no row of its queue is. What is no text in its name is refused when it is written, as
-- nobody could ask for it.
-- name: entries
CREATE TABLE qcore_entries (
    queue TEXT NOT NULL CHECK (typeof(queue) = 'text'),
    id TEXT NOT NULL CHECK (typeof(id) = 'text'),
    revision INTEGER NOT NULL,
    wake REAL,
    encoded TEXT NOT NULL,
    PRIMARY KEY (queue, id)
)

-- name: waking
CREATE INDEX qcore_entries_waking ON qcore_entries (queue, wake, id) WHERE wake IS NOT NULL

-- What has ended, by queue, period and task name, as a JSON object of numbers by the fields that
-- domain/statistics.py has. A period of `seconds` (60, 3600 or 86400) begins at `start`. Verdicts write
-- to their minute alone; the first one of a new minute adds what is too old to the longer periods.
-- name: statistics
CREATE TABLE qcore_statistics (
    queue INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    start INTEGER NOT NULL,
    name TEXT NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (queue, seconds, start, name)
) WITHOUT ROWID

-- name: by_id
CREATE UNIQUE INDEX qcore_tasks_by_id ON qcore_tasks (queue, id)

-- name: by_key
CREATE UNIQUE INDEX qcore_tasks_by_key ON qcore_tasks (queue, holds) WHERE holds IS NOT NULL

-- name: in_order
CREATE INDEX qcore_tasks_in_order ON qcore_tasks (queue, state, place, token, sequence)

-- name: expiring
CREATE INDEX qcore_tasks_expiring ON qcore_tasks (queue, expires, sequence)
WHERE state = 'pending' AND expires IS NOT NULL

-- name: grouped
CREATE INDEX qcore_tasks_grouped ON qcore_tasks (queue, group_name, place, sequence)
WHERE state = 'aggregating'

-- name: kept
CREATE INDEX qcore_tasks_kept ON qcore_tasks (queue, place + retention, sequence)
WHERE state = 'completed'
