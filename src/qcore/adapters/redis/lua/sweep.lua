-- Trim the history of some queues, and find tasks whose lease ended or that expired while pending.
--
-- ARGV[3]: now. ARGV[4]: how many archived, and how many dead tasks a queue may keep. ARGV[5]: the
-- moment before which tasks ended that are too old to keep. Then for each queue: how many to find
-- whose lease ended, how many that expired, how many to trim; none more than 250.
-- Reply: for each queue three elements: the ids of the tasks that were trimmed; and, of those whose
-- lease ended and of those that expired, their ids, values up to the bar, run records, scores, and
-- names. Names of trimmed tasks would cost reading their payloads.
-- Nothing at all where nothing is active, expires or has ended.

local now, count, old = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local keys = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, problem = read_version(base)
  if problem then
    return problem
  end
  for _, key in ipairs({ ACTIVE, EXPIRING, RETAINED, ARCHIVED, DEAD }) do
    keys[#keys + 1] = KEYS[base + key]
  end
end
if call('EXISTS', unpack(keys)) == 0 then
  return {}
end
for base = 0, #KEYS - WIDTH, WIDTH do
  local problem = check_types(base, ALL_KEYS)
  if problem then
    return problem
  end
  -- A write that changes nothing, as no id is empty. A server that refuses writes, so that leases
  -- cannot be renewed, has to refuse this call too: a worker takes an answered sweep to say that
  -- they could be.
  call('ZREM', KEYS[base + ACTIVE], '')
end

local function scored_up_to(key, moment, limit, ...)
  if limit < 1 then
    return {}
  end
  return call('ZRANGEBYSCORE', key, '-inf', moment, ...)
end

-- Return what a transition takes of the tasks of a sorted set whose score has passed.
local function overdue(base, key, limit)
  local rows = scored_up_to(KEYS[base + key], now, limit, 'WITHSCORES', 'LIMIT', 0, limit)
  local reply, ids = {}, {}
  for i = 1, #rows, 2 do
    ids[#ids + 1] = rows[i]
  end
  if #ids == 0 then
    return reply
  end
  local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
  local records = call('HMGET', KEYS[base + PROGRESS], unpack(ids))
  local orphans = {}
  for i, id in ipairs(ids) do
    local value = values[i]
    if value then
      reply[#reply + 1] = id
      reply[#reply + 1] = sub(value, 1, string.find(value, '|', 1, true))
      reply[#reply + 1] = records[i]
      reply[#reply + 1] = rows[2 * i]
      reply[#reply + 1] = task_name(value)
    else
      orphans[#orphans + 1] = id
    end
  end
  remove_members(KEYS[base + key], orphans)
  return reply
end

local function delete_tasks(base, state, ids, done)
  remove_members(KEYS[base + state], ids)
  delete_fields(KEYS[base + TASKS], ids)
  delete_fields(KEYS[base + PROGRESS], ids)
  delete_details(base, ids)
  for _, id in ipairs(ids) do
    done[#done + 1] = id
  end
end

local function trim(base, limit)
  local over = scored_up_to(KEYS[base + RETAINED], now, limit, 'LIMIT', 0, limit)
  remove_members(KEYS[base + RETAINED], over)
  local done = {}
  delete_tasks(base, COMPLETED, over, done)
  for _, state in ipairs({ ARCHIVED, DEAD }) do
    local key = KEYS[base + state]
    local excess = math.min(call('ZCARD', key) - count, limit - #done)
    if excess > 0 then
      delete_tasks(base, state, call('ZRANGE', key, 0, excess - 1), done)
    end
    local left = limit - #done
    delete_tasks(base, state, scored_up_to(key, old, left, 'LIMIT', 0, left), done)
  end
  return done
end

local reply = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local queue = base / WIDTH
  local crashed, expired, trimmed = ARGV[6 + 3 * queue], ARGV[7 + 3 * queue], ARGV[8 + 3 * queue]
  reply[3 * queue + 1] = trim(base, tonumber(trimmed))
  reply[3 * queue + 2] = overdue(base, ACTIVE, tonumber(crashed))
  reply[3 * queue + 3] = overdue(base, EXPIRING, tonumber(expired))
end
return reply
