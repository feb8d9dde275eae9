-- The tables, prefixed so that they may live beside an application's own.

-- name: meta
CREATE TABLE qcore_meta (
    version INTEGER NOT NULL
)

-- Nothing if there is no such table, in whichever of the connection's databases.
-- name: is_made
PRAGMA table_info(qcore_meta)

-- name: version
SELECT max(version) FROM qcore_meta

-- Whether somebody keeps something here.
-- name: others
SELECT name FROM sqlite_schema LIMIT 3

-- name: mark
INSERT INTO qcore_meta (version) VALUES (?)

-- A queue's row is never removed: its counters must not go back, or an old lease would fit again.
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

-- `place` is where a task stands among those of its state: minus its priority when pending, the end
-- of its lease when active, when it ended when ended, else its moment due. `token` is 0 unless active;
-- `sequence` is kept while active, so that a task can go back to where it was.
-- `holds` is the unique key that a task has, null once it has ended or another has taken the key, whose
-- time was over: so nothing but a stored task can have a key, and what is gone has none.
-- `more` is what was asked for of what few tasks ask for, a JSON object: each column, even a null,
-- would cost every task a quarter of a microsecond whenever it moves.
-- Times are epoch seconds, headers a JSON object. The payload is last: SQLite reads no further than
-- it has to.
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

-- What is kept of the runs of a task beside how they ended; most tasks have no row here. Errors are a
-- JSON array, progress a JSON object, saved work whatever it is.
-- name: details
CREATE TABLE qcore_details (
    task INTEGER PRIMARY KEY,
    errors TEXT,
    progress TEXT,
    saved BLOB
)

-- What limits a queue; one that nothing limits has no row here. `full` is the moment at which the
-- bucket of its rate is full.
-- name: limits
CREATE TABLE qcore_limits (
    queue INTEGER PRIMARY KEY,
    count INTEGER,
    per REAL,
    full REAL NOT NULL,
    in_flight INTEGER,
    is_paused INTEGER NOT NULL
)

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
