-- name: write
INSERT INTO qcore.workers (id, expires, info) VALUES (%(id)s, %(expires)s, %(info)s)
ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, info = excluded.info

-- name: delete
DELETE FROM qcore.workers WHERE id = %(id)s

-- Not one that announces itself again at this moment.
-- name: delete_expired
DELETE FROM qcore.workers AS w
USING (
    SELECT id FROM qcore.workers WHERE expires <= %(now)s AND id <> %(id)s FOR UPDATE SKIP LOCKED
) AS gone
WHERE w.id = gone.id

-- name: read
SELECT info FROM qcore.workers WHERE expires > %(now)s
