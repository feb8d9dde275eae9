-- Trim the past of some queues, and find what else time has moved.
--
-- ARGV[3]: this moment. ARGV[4]: how many archived, and how many dead tasks a queue may keep.
-- ARGV[5]: the moment before which they ended that are too old. Then for each queue: how many to
-- find whose lease is over, how many that have expired, how many to trim; none more than 250.
-- Answer: for each queue three elements: how many it trimmed; of the tasks whose lease is over,
-- and of those that expired, their ids, values without what Lua never reads, records, scores.
-- Nothing at all where nothing is active, expires or has ended.

local now, count, old = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local looked = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, trouble = version_of(base)
  if trouble then
    return trouble
  end
  for _, key in ipairs({ ACTIVE, EXPIRING, RETAINED, ARCHIVED, DEAD }) do
    looked[#looked + 1] = KEYS[base + key]
  end
end
if call('EXISTS', unpack(looked)) == 0 then
  return {}
end
for base = 0, #KEYS - WIDTH, WIDTH do
  local trouble = misused(base, ALL)
  if trouble then
    return trouble
  end
end

local function past(key, moment, limit, ...)
  if limit < 1 then
    return {}
  end
  return call('ZRANGEBYSCORE', key, '-inf', moment, ...)
end

-- Return what is needed to move the tasks of a sorted set whose score is past.
local function found(base, key, limit)
  local rows = past(KEYS[base + key], now, limit, 'WITHSCORES', 'LIMIT', 0, limit)
  local answer, ids = {}, {}
  for i = 1, #rows, 2 do
    ids[#ids + 1] = rows[i]
  end
  if #ids == 0 then
    return answer
  end
  local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
  local records = call('HMGET', KEYS[base + PROGRESS], unpack(ids))
  local strays = {}
  for i, id in ipairs(ids) do
    local value = values[i]
    if value then
      answer[#answer + 1] = id
      answer[#answer + 1] = sub(value, 1, string.find(value, '|', 1, true))
      answer[#answer + 1] = records[i]
      answer[#answer + 1] = rows[2 * i]
    else
      strays[#strays + 1] = id
    end
  end
  take_out(KEYS[base + key], strays)
  return answer
end

local function forget(base, state, ids)
  take_out(KEYS[base + state], ids)
  erase(KEYS[base + TASKS], ids)
  erase(KEYS[base + PROGRESS], ids)
  drop_details(base, ids)
  return #ids
end

local function trim(base, limit)
  local over = past(KEYS[base + RETAINED], now, limit, 'LIMIT', 0, limit)
  take_out(KEYS[base + RETAINED], over)
  local done = forget(base, COMPLETED, over)
  for _, state in ipairs({ ARCHIVED, DEAD }) do
    local key = KEYS[base + state]
    local many = math.min(call('ZCARD', key) - count, limit - done)
    if many > 0 then
      done = done + forget(base, state, call('ZRANGE', key, 0, many - 1))
    end
    local left = limit - done
    done = done + forget(base, state, past(key, old, left, 'LIMIT', 0, left))
  end
  return done
end

local answer = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local queue = base / WIDTH
  local late, stale, trimmed = ARGV[6 + 3 * queue], ARGV[7 + 3 * queue], ARGV[8 + 3 * queue]
  answer[3 * queue + 1] = trim(base, tonumber(trimmed))
  answer[3 * queue + 2] = found(base, ACTIVE, tonumber(late))
  answer[3 * queue + 3] = found(base, EXPIRING, tonumber(stale))
end
return answer
