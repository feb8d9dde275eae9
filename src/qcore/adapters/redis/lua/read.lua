-- Read tasks of one queue, with the sorted set that each is in.
--
-- ARGV[3]: "1" for whole values, "0" for sequence and metadata alone, "2" for these with the name in
-- the place of the options; then the ids.
-- Reply: for each its value, run record (nil for none), number of its state's key, and score there;
-- four nils for a task that does not exist.

local _, problem = read_version(0)
if problem then
  return problem
end

local whole = ARGV[3] == '1'
local values = call('HMGET', KEYS[TASKS], unpack(ARGV, 4))
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 4))
local reply = {}
for i, value in ipairs(values) do
  local at = 4 * i - 3
  local state, score
  if value then
    state, score = find_state(0, ARGV[3 + i], value)
    if not whole then
      local name = ARGV[3] == '2' and task_name(value) or ''
      value = sub(value, 1, string.find(value, '|', 1, true)) .. name
    end
  end
  reply[at] = state and value or false
  reply[at + 1] = state and records[i] or false
  reply[at + 2] = state or false
  reply[at + 3] = score or false
end
return reply
