-- Count the tasks of some queues.
--
-- KEYS: of each queue META, and behind it the sorted sets of its states in the order of their numbers;
-- thousands of queues are counted for a page, so none that is not needed is named.
-- Reply: for each queue eight numbers: pending, scheduled, retry, aggregating, active, completed,
-- archived, dead.

local EACH = 9

local reply, n = {}, 0
for base = 0, #KEYS - EACH, EACH do
  local _, problem, _, _, packed = read_version(base)
  if problem then
    return problem
  end
  local pending = n + 1
  for i = base + 2, base + EACH do
    n = n + 1
    reply[n] = call('ZCARD', KEYS[i])
  end
  if reply[pending] > 0 then
    reply[pending] = reply[pending] + packed
  end
end
return reply
