-- Of a minute, the rows of some names.
-- name: named
SELECT s.name, s.counts
FROM json_each(:names) AS n CROSS JOIN qcore_statistics AS s
    ON s.queue = :queue AND s.seconds = :seconds AND s.start = :start AND s.name = n.value

-- Of some periods, the rows of all names: at most 101 a period.
-- name: rows
SELECT start, name, counts FROM qcore_statistics
WHERE queue = :queue AND seconds = :seconds AND start >= :first AND start < :end
ORDER BY start, name

-- name: write
INSERT INTO qcore_statistics (queue, seconds, start, name, counts)
VALUES (:queue, :seconds, :start, :name, :counts)
ON CONFLICT (queue, seconds, start, name) DO UPDATE SET counts = excluded.counts

-- name: forget
DELETE FROM qcore_statistics WHERE queue = :queue AND seconds = :seconds AND start < :before
