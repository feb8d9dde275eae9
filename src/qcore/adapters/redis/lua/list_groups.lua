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

local reply, after = {}, ARGV[3]
for _ = 1, tonumber(ARGV[4]) do
  local least = after == '' and '-' or '[' .. after .. '\2'
  local first = call('ZRANGEBYLEX', KEYS[GROUPS], least, '+', 'LIMIT', 0, 1)[1]
  if not first then
    break
  end
  after = string.match(first, '^[^\1]*')
  local from, to = '[' .. after .. '\1', '(' .. after .. '\2'
  local last = call('ZREVRANGEBYLEX', KEYS[GROUPS], to, from, 'LIMIT', 0, 1)[1]
  local start = #after + 26
  local at = #reply
  reply[at + 1] = after
  reply[at + 2] = call('ZLEXCOUNT', KEYS[GROUPS], from, to)
  reply[at + 3] = call('ZSCORE', KEYS[AGGREGATING], sub(first, start)) or '0'
  reply[at + 4] = call('ZSCORE', KEYS[AGGREGATING], sub(last, start)) or '0'
end
return reply
