-- Read what is kept of the runs of tasks of one queue.
--
-- ARGV[3]: the first id, and so on.
-- Answer: for each "1", its errors, its progress and its saved work, nil for none; four nils for a
-- task that is not there.

local _, trouble = version_of(0)
if trouble then
  return trouble
end
trouble = misused(0, { TASKS, DETAILS })
if trouble then
  return trouble
end

local values = call('HMGET', KEYS[TASKS], unpack(ARGV, 3))
local answer = {}
for i = 3, #ARGV do
  local id, at = ARGV[i], 4 * (i - 3)
  local found = call('HMGET', KEYS[DETAILS], 'e' .. id, 'p' .. id, 's' .. id)
  local is_there = values[i - 2] and where(0, id, values[i - 2])
  answer[at + 1] = is_there and '1' or false
  for n = 1, 3 do
    answer[at + 1 + n] = is_there and found[n] or false
  end
end
return answer
