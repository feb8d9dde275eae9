-- Read the run details of tasks of one queue.
--
-- ARGV from 3 on: the ids.
-- Reply: for each "1", its errors, its progress and its saved work, each nil for none; four nils
-- for a task that does not exist.

local _, problem = read_version(0)
if problem then
  return problem
end
problem = check_types(0, { TASKS, DETAILS })
if problem then
  return problem
end

local values = call('HMGET', KEYS[TASKS], unpack(ARGV, 3))
local reply = {}
for i = 3, #ARGV do
  local id, at = ARGV[i], 4 * (i - 3)
  local found = call('HMGET', KEYS[DETAILS], 'e' .. id, 'p' .. id, 's' .. id)
  local exists = values[i - 2] and find_state(0, id, values[i - 2])
  reply[at + 1] = exists and '1' or false
  for n = 1, 3 do
    reply[at + 1 + n] = exists and found[n] or false
  end
end
return reply
