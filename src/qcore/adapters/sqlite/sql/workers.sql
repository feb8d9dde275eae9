-- name: write
INSERT OR REPLACE INTO qcore_workers (id, expires, info) VALUES (?, ?, ?)

-- name: delete
DELETE FROM qcore_workers WHERE id = ?

-- name: delete_expired
DELETE FROM qcore_workers WHERE expires <= ?

-- name: read
SELECT info FROM qcore_workers WHERE expires > ?
