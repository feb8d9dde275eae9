-- Store tasks of one queue.
--
-- ARGV[3]: "1" if the queue may be made. ARGV[4]: the first moment that one of them is scheduled for,
-- empty where none is. Then for each task: its id, no id twice; its value without the line; the
-- moment it is scheduled for, nothing to make it pending.
-- Answer: for each task that was refused, its number (from 0) and the number of its state's key. Or
-- "whole", and nothing was written: it takes all keys, and leave to make the queue. Tasks with only
-- what is usual, pending at once in a queue that is there, take the first four.
-- Errors: QCORE FOREIGN where a key that would be made is there already.

local before = answered()
if before then
  return before
end
local version, trouble = version_of(0)
if trouble then
  return trouble
end
if not version then
  if ARGV[3] ~= '1' then
    return 'whole'
  end
  for key = 1, WIDTH do
    local kind = call('TYPE', KEYS[key]).ok
    if kind ~= 'none' and key ~= LANE then
      return redis.error_reply('QCORE FOREIGN ' .. KEYS[key] .. ' ' .. kind)
    end
  end
  call('HSET', KEYS[META], 'version', VERSION)
end

local FIRST = 5
local ids = {}
for i = FIRST, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
end
local found = call('HMGET', KEYS[TASKS], unpack(ids))
local known = false
for i = 1, #ids do
  known = known or found[i]
end
if known and #KEYS < WIDTH then
  return 'whole'
end
local idle = redis.pcall('ZCARD', KEYS[PENDING])
if type(idle) == 'table' then
  return foreign(KEYS[PENDING])
elseif #KEYS == WIDTH then
  trouble = misused(0, known and ALL or { SCHEDULED, EXPIRING })
  if trouble then
    return trouble
  end
end
local sequence = call('HINCRBY', KEYS[META], 'sequence', #ids) - #ids
local values, pending, scheduled, expiring, refused = {}, {}, {}, {}, {}
local LARGE = 4096
local large = false

-- Return the state of a live task; leave nothing of one that has ended, or was tampered with.
local function living(id, value)
  local state = where(0, id, value)
  if state and state ~= COMPLETED and state ~= ARCHIVED and state ~= DEAD then
    return state
  end
  if state then
    call('ZREM', KEYS[state], id)
    call('ZREM', KEYS[RETAINED], id)
  end
  call('HDEL', KEYS[PROGRESS], id)
end

for i = 1, #ids do
  local id, body, due = ids[i], ARGV[FIRST + 3 * i - 2], ARGV[FIRST + 3 * i - 1]
  local state = found[i] and living(id, found[i])
  if state then
    refused[#refused + 1] = i - 1
    refused[#refused + 1] = state
  else
    local line = line_of(sequence + i)
    large = large or #body > LARGE
    local at = #values
    values[at + 1] = id
    values[at + 2] = line .. body
    if due ~= '' then
      at = #scheduled
      scheduled[at + 1] = due
      scheduled[at + 2] = id
    else
      local rank, expires = '0', '-'
      if byte(body) ~= BAR then
        rank, expires = facts(line .. body)
      end
      at = #pending
      pending[at + 1] = rank
      pending[at + 2] = line .. id
      if expires ~= '-' then
        expiring[#expiring + 1] = expires
        expiring[#expiring + 1] = id
      end
    end
  end
end

if #values > 0 then
  call('HSET', KEYS[TASKS], unpack(values))
end
if large then
  -- from now on a claim looks how much it is going to read
  call('HSET', KEYS[META], 'large', 1)
end
if #pending > 0 then
  call('ZADD', KEYS[PENDING], unpack(pending))
  add(KEYS[EXPIRING], expiring)
end
add(KEYS[SCHEDULED], scheduled)
if (#pending > 0 and idle == 0)
  or (#scheduled > 0 and is_next(KEYS[SCHEDULED], ARGV[4])) then
  wake(0)
end
local answer = table.concat(refused, ' ')
remember(answer)
return answer
