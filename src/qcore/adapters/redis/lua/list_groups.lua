-- List groups of one queue in which tasks wait.
--
-- ARGV[3]: after which name. ARGV[4]: how many.
-- Answer: for each its name, how many tasks wait in it, and when the first and the last were due.

local _, trouble = version_of(0)
if trouble then
  return trouble
end
trouble = misused(0, { GROUPS, AGGREGATING })
if trouble then
  return trouble
end

local answer, after = {}, ARGV[3]
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
  local at = #answer
  answer[at + 1] = after
  answer[at + 2] = call('ZLEXCOUNT', KEYS[GROUPS], from, to)
  answer[at + 3] = call('ZSCORE', KEYS[AGGREGATING], sub(first, start)) or '0'
  answer[at + 4] = call('ZSCORE', KEYS[AGGREGATING], sub(last, start)) or '0'
end
return answer
