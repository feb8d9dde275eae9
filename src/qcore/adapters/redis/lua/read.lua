-- Look at tasks of one queue.
--
-- ARGV[3]: "1" for whole values, "0" for their lines and facts alone; then the ids.
-- Answer: for each its value, record (nil for none), number of its state's key, score; four nils for
-- a task that is not there.

local _, trouble = version_of(0)
if trouble then
  return trouble
end

local whole = ARGV[3] == '1'
local values = call('HMGET', KEYS[TASKS], unpack(ARGV, 4))
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 4))
local answer = {}
for i, value in ipairs(values) do
  local at = 4 * i - 3
  local state, score
  if value then
    state, score = where(0, ARGV[3 + i], value)
    if not whole then
      value = sub(value, 1, string.find(value, '|', 1, true))
    end
  end
  answer[at] = state and value or false
  answer[at + 1] = state and records[i] or false
  answer[at + 2] = state or false
  answer[at + 3] = score or false
end
return answer
