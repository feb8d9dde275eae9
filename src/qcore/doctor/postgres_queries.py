"""What the doctor asks a Postgres; of others' sessions a user may see less, which is no error."""

from typing import Final

SERVER: Final = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
    pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
    current_setting('synchronous_commit'), current_setting('fsync'), current_setting('autovacuum')
"""

CONNECTIONS: Final = """
SELECT count(*), current_setting('max_connections')::int
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""

ACTIVITY: Final = """
SELECT pid, application_name, state, extract(epoch FROM now() - xact_start)::float8
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND xact_start < now() - make_interval(secs => %(seconds)s)
ORDER BY xact_start LIMIT 5
"""

PREPARED: Final = """
SELECT gid, extract(epoch FROM now() - prepared)::float8
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < now() - make_interval(secs => %(seconds)s)
ORDER BY prepared LIMIT 5
"""

# What a slot keeps on a server that is a standby itself is told from what that has replayed. A
# standby without a slot holds rows back, too, where it has hot_standby_feedback.
REPLICATION: Final = """
SELECT slot_name, true, active, coalesce(
        (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
        - restart_lsn)::bigint, 0
    ), greatest(age(xmin), age(catalog_xmin), 0)
FROM pg_replication_slots
UNION ALL
SELECT application_name, false, true, 0, age(backend_xmin)
FROM pg_stat_replication AS r
WHERE backend_xmin IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM pg_replication_slots AS s WHERE s.active_pid = r.pid)
ORDER BY 1
"""

TABLES: Final = """
SELECT relname, n_live_tup, n_dead_tup, pg_size_pretty(pg_total_relation_size(relid)),
    extract(epoch FROM now() - greatest(last_vacuum, last_autovacuum))::float8
FROM pg_stat_user_tables WHERE schemaname = rtrim('qcore.', '.') ORDER BY relname
"""

INDEX_STATES: Final = """
SELECT c.relname, i.indisvalid AND i.indisready
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = rtrim('qcore.', '.')
"""

# What the user lacks that qcore needs: a row for each list of privileges, with the names that it is
# lacking on. Of the tables `meta` is only read, and `token_bound` is never added to.
PRIVILEGES: Final = """
WITH wanted AS (
    SELECT c.oid, c.relkind = 'S' AS is_sequence, 'qcore.' || c.relname AS name,
        CASE
            WHEN c.relkind = 'S' THEN CASE c.relname
                WHEN 'token' THEN '{SELECT,USAGE,UPDATE}' ELSE '{USAGE}' END
            WHEN c.relname = 'meta' THEN '{SELECT}'
            WHEN c.relname = 'token_bound' THEN '{SELECT,UPDATE}'
            ELSE '{SELECT,INSERT,UPDATE,DELETE}'
        END::text[] AS privileges
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = rtrim('qcore.', '.') AND c.relkind IN ('r', 'S')
), missing AS (
    SELECT w.is_sequence, w.name, (
            SELECT string_agg(p.privilege, ', ' ORDER BY p.place)
            FROM unnest(w.privileges) WITH ORDINALITY AS p (privilege, place)
            WHERE NOT CASE WHEN w.is_sequence THEN has_sequence_privilege(w.oid, p.privilege)
                ELSE has_table_privilege(w.oid, p.privilege) END
        ) AS privileges
    FROM wanted AS w
)
SELECT quote_ident(current_user), privileges,
    CASE WHEN is_sequence THEN 'SEQUENCE ' ELSE '' END || string_agg(name, ', ' ORDER BY name)
FROM missing WHERE privileges IS NOT NULL GROUP BY is_sequence, privileges
ORDER BY is_sequence, min(name)
"""
