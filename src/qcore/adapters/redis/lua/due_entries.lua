-- Find the entries of some queues that a scheduler has to look at.
--
-- KEYS: for each queue META, and those of its entries. ARGV[3]: now. ARGV[4]: how many of each queue.
-- Then for each queue the score and the id of the last one of the page before, empty for the first.
-- Reply: for each queue when another one is to be looked at later than now, empty for never; then the
-- id, the score and the value (nil for none) of each that is due; nothing at all for a queue that
-- cannot be read. An error where none can be.

local WIDTH_HERE = 1 + ENTRY_WIDTH
local now, size = ARGV[3], ARGV[4]

-- Return members and scores that are due, behind the last one of the page before. Where that is not
-- there any more, some come again.
local function due(wakes, score, id)
  local here = score ~= '' and call('ZSCORE', wakes, id)
  local is_here = here and tonumber(here) == tonumber(score)
  local start = is_here and call('ZRANK', wakes, id) + 1 or 0
  local least = (is_here or score == '') and '-inf' or score
  return call('ZRANGEBYSCORE', wakes, least, now, 'WITHSCORES', 'LIMIT', start, size)
end

local replies, is_any_read, failure = {}, false, nil
for base = 0, #KEYS - WIDTH_HERE, WIDTH_HERE do
  local n = base / WIDTH_HERE
  local _, problem = read_version(base)
  problem = problem or check_entry_types(base + META)
  local reply = {}
  if problem then
    failure = failure or problem
  else
    is_any_read = true
    local wakes = KEYS[base + META + ENTRY_WAKES]
    local later = call('ZRANGEBYSCORE', wakes, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    reply[1] = later[2] or ''
    local rows = due(wakes, ARGV[5 + 2 * n], ARGV[6 + 2 * n])
    for i = 1, #rows, 2 do
      local at = #reply
      reply[at + 1], reply[at + 2] = rows[i], rows[i + 1]
      reply[at + 3] = call('HGET', KEYS[base + META + ENTRIES], rows[i])
    end
  end
  replies[n + 1] = reply
end
if failure and not is_any_read then
  return failure
end
return replies
