-- Count the tasks of some queues.
--
-- Answer: for each queue eight numbers: pending, scheduled, retry, aggregating, active, completed,
-- archived, dead.

local ORDER = { PENDING, SCHEDULED, RETRY, AGGREGATING, ACTIVE, COMPLETED, ARCHIVED, DEAD }

local answer = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, trouble = version_of(base)
  if trouble then
    return trouble
  end
  for _, state in ipairs(ORDER) do
    answer[#answer + 1] = call('ZCARD', KEYS[base + state])
  end
end
return answer
