-- List the groups of one queue that have tasks, in the order of their names.
--
-- ARGV[3]: the name to start after. ARGV[4]: how many.
-- Reply: for each its name, how many tasks wait in it, and when the first and the last were due.

local _, problem = read_version(0)
if problem then
  return problem
end
problem = check_types(0, { GROUPS, AGGREGATING })
if problem then
  return problem
end

-- Members that no task waits under, as somebody has edited them: that many are passed over.
local left = 1000
local ID = '^([^\1]+)\1' .. string.rep('.', 24) .. '(.+)$'
local reply = {}
local least = ARGV[3] == '' and '-' or '[' .. ARGV[3] .. '\2'
while #reply < 4 * tonumber(ARGV[4]) and left > 0 do
  local first = call('ZRANGEBYLEX', KEYS[GROUPS], least, '+', 'LIMIT', 0, 1)[1]
  if not first then
    break
  end
  local group, id = string.match(first, ID)
  local begun = id and call('ZSCORE', KEYS[AGGREGATING], id)
  if begun then
    local from, to = '[' .. group .. '\1', '(' .. group .. '\2'
    local last = call('ZREVRANGEBYLEX', KEYS[GROUPS], to, from, 'LIMIT', 0, 1)[1]
    local at = #reply
    reply[at + 1] = group
    reply[at + 2] = call('ZLEXCOUNT', KEYS[GROUPS], from, to)
    reply[at + 3] = begun
    reply[at + 4] = call('ZSCORE', KEYS[AGGREGATING], sub(last, #group + 26)) or begun
    least = '[' .. group .. '\2'
  else
    left = left - 1
    least = '(' .. first
  end
end
return reply
