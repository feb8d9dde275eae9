-- Count the tasks of some queues.
--
-- Answer: for each queue eight numbers: pending, scheduled, retry, aggregating, active, completed,
-- archived, dead.

local answer = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  for state = PENDING, DEAD do
    answer[#answer + 1] = call('ZCARD', KEYS[base + state])
  end
end
return answer
