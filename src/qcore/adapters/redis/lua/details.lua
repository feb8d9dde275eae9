-- Read the details of tasks of one queue.
--
-- ARGV from 3 on: the ids.
-- Reply: for each "1", its errors, its progress, its saved work and its audit trail, each nil for
-- none; five nils for a task that does not exist.

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
  local id, at = ARGV[i], 5 * (i - 3)
  local found = call('HMGET', KEYS[DETAILS], 'e' .. id, 'p' .. id, 's' .. id, 'a' .. id)
  local exists = values[i - 2] and find_state(0, id, values[i - 2])
  reply[at + 1] = exists and '1' or false
  for n = 1, 4 do
    reply[at + 1 + n] = exists and found[n] or false
  end
end
return reply
