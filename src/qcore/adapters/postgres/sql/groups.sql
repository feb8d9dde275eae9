-- name: groups
SELECT group_name, count(*), min(due), max(due)
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'aggregating' AND group_name > %(after)s
GROUP BY group_name
ORDER BY group_name LIMIT %(limit)s

-- name: members
SELECT id, state, priority, crashes, failures, attempts, max_crashes, created, due, not_before,
    expires, retention, finished, unhandled_since, name, group_name, holds, error, result_type,
    options, payload, result
FROM qcore.tasks
WHERE queue = %(queue)s AND state = 'aggregating' AND group_name = %(group)s
ORDER BY due, sequence LIMIT %(limit)s
