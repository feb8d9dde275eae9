-- Count the tasks of some queues.
--
-- KEYS: of each queue those up to DEAD.
-- Reply: for each queue eight numbers: pending, scheduled, retry, aggregating, active, completed,
-- archived, dead.

local ORDER = { PENDING, SCHEDULED, RETRY, AGGREGATING, ACTIVE, COMPLETED, ARCHIVED, DEAD }

local reply = {}
for base = 0, #KEYS - DEAD, DEAD do
  local _, problem = read_version(base)
  if problem then
    return problem
  end
  for _, state in ipairs(ORDER) do
    reply[#reply + 1] = call('ZCARD', KEYS[base + state])
  end
end
return reply
