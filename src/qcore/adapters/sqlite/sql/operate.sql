-- name: get
SELECT t.*
FROM json_each(?) AS n CROSS JOIN qcore_tasks AS t
    ON t.queue = (SELECT key FROM qcore_queues WHERE name = ?) AND t.id = n.value

-- name: upwards
SELECT * FROM qcore_tasks
WHERE queue = (SELECT key FROM qcore_queues WHERE name = ?) AND state = ?
    AND (place, token, sequence) > (?, ?, ?)
ORDER BY place, token, sequence LIMIT ?

-- name: downwards
SELECT * FROM qcore_tasks
WHERE queue = (SELECT key FROM qcore_queues WHERE name = ?) AND state = ?
    AND (place, token, sequence) < (?, ?, ?)
ORDER BY place DESC, token DESC, sequence DESC LIMIT ?
