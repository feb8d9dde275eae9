-- Read the tasks of some queues that may have waited longest.
--
-- ARGV[3]: of how many priorities at most.
-- Reply: for each queue a list: the scores of the first scheduled task and the first in retry, nil or
-- "" for none, and then member, value and run record of the first pending task of each priority.

local most = tonumber(ARGV[3])
local reply = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, problem = read_version(base)
  if problem then
    return problem
  end
  local found = { lowest_score(KEYS[base + SCHEDULED]) or '', lowest_score(KEYS[base + RETRY]) or '' }
  local pending, low = KEYS[base + PENDING], '-inf'
  for _ = 1, most do
    local first = call('ZRANGEBYSCORE', pending, low, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if #first == 0 then
      break
    end
    local id = sub(first[1], end_of_sequence(first[1]))
    local content = id == BLOCK and blocks_of(base).read(first[1])
    if content then
      id = sub(content, end_of_sequence(content), blocks_of(base).width(content))
    end
    found[#found + 1] = id
    found[#found + 1] = call('HGET', KEYS[base + TASKS], id)
    found[#found + 1] = call('HGET', KEYS[base + PROGRESS], id)
    low = '(' .. first[2]
  end
  reply[#reply + 1] = found
end
return reply
