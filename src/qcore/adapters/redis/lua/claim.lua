-- Claim tasks of some queues, each under a lease.
--
-- Theory of operation. One call serves a worker's whole demand, in this order:
--
-- 1. Deadline. A call that reaches the server after its caller has given up (the server was paused,
--    or failed over) claims nothing: nobody would run the tasks before their leases end.
-- 2. Nothing to do. One EXISTS over PENDING, SCHEDULED and RETRY of all queues replies to an idle
--    worker before anything further down is created: Lua creates functions anew for each call.
-- 3. Duplicate request. The session key holds the tokens that the first call gave, not the tasks,
--    which would be stored twice. The reply is built again from the tasks that are active with
--    these tokens.
-- 4. Promotion. Tasks of SCHEDULED and RETRY whose moment has come go to PENDING, or to their
--    group, in the order of their moments, MAX_PROMOTIONS a call. While there are more of them
--    nothing is claimed ("due"), so that priorities hold among all that is due; the caller calls
--    again (PROMOTING in claim.py), and the last time lets it claim regardless.
-- 5. Quotas. Each queue first gives up to its quota, weighted by the caller; what room is left is
--    then filled from the queues in the order given, each as far as its limits allow.
-- 6. Rounds. Tasks that expired while they were pending become dead on the way and fill no room, so
--    a queue may be popped again; after MAX_ROUNDS the call ends with "more", to stay short.
-- 7. Crashes. A task with crashes is handed out with few others of its queue, and alone where one
--    more crash is its last (domain/crash_isolation.py): the queue gives no more in this call once
--    the next task may not go with those that it has given.
-- 8. Large tasks. Once a queue has had one (`large` in META), sizes are read first, and a call
--    stops at 512 KiB with "more".
-- 9. Tokens are the microseconds of `now`, or one more than the last, whichever is greater. They
--    grow even where a server that crashed has lost the last ones.
--
-- ARGV[3]: now. ARGV[4]: the end of the leases. ARGV[5]: room, how many tasks in all. ARGV[6]:
-- "yes" to promote, and to claim nothing if more is due; "last" to promote and claim; "no" not to
-- promote.
-- ARGV[7]: the deadline of the call by the server's own clock. Then the quota of each queue; and, if
-- this is not the first call of a claim, for each queue how many tasks it has given before, and how
-- many it may give together with these, "-" for no bound.
-- Reply: "due"; or "more" if there may be more to claim though there is room; else "done". Then for
-- each queue any number of quadruples: the token before the first; ids; values, nil for a task that
-- was not claimed; run records, nil for one that is the bare token, which counts up from the first,
-- and nil in place of all of them where each is.
-- Of a task that expired, the number of its attempts and its name stand in place of the record. A
-- duplicate request is told of no task that expired.
-- Nothing at all after the deadline, or where no queue has a task pending, scheduled or to be
-- retried.

local MAX_TASKS_PER_CALL = 250
-- Up to 128 entries Redis stores a sorted set as a listpack, where n inserts cost O(n²), as each
-- compares its score with those before it, parsed anew: 50 beside 50 take half a millisecond. Where
-- more than FEW become active, add a dummy member longer than 64 bytes, which converts the set to a
-- skiplist (and the hash of run records to a hash table), then remove it.
local FEW = 8
local DUMMY = '\1' .. string.rep(' ', 64)
local MAX_PROMOTIONS = 200
local MAX_ROUNDS = 4
-- Moments after the year 2096 do not become tokens: a double counts exactly up to 9e15 only, and
-- tokens have to go on growing by one.
local MAX_TIME_TOKEN = 4e15
-- Bytes of large tasks that this call may still read; the task that exhausts them is read, too.
local bytes_left = 524288

local queues = #KEYS / (WIDTH + PERIODS)
local last_base = (queues - 1) * WIDTH
local now, lease, room = ARGV[3], ARGV[4], tonumber(ARGV[5])
local moment = tonumber(now)

local clock = call('TIME')
if clock[1] + clock[2] / 1e6 > tonumber(ARGV[7]) then
  return {}
end

local searched, limits_of, has_blocks = {}, {}, {}
for base = 0, last_base, WIDTH do
  local _, problem, text, _, packed = read_version(base)
  limits_of[base], has_blocks[base] = parse_limits(text), not problem and packed > 0
  if problem then
    return problem
  end
  searched[#searched + 1] = KEYS[base + PENDING]
  searched[#searched + 1] = KEYS[base + SCHEDULED]
  searched[#searched + 1] = KEYS[base + RETRY]
end

if ARGV[1] == '0' and call('EXISTS', unpack(searched)) == 0 then
  return {}
end

-- To a duplicate request: the tasks that are active until `lease` with a token of those given then.
local earlier = earlier_reply()
if earlier then
  local reply = { 'done' }
  for queue = 1, queues do
    reply[queue + 1] = {}
  end
  for queue, first, last in string.gmatch(earlier, '(%d+) (%d+) (%d+)') do
    local base, claims = (queue - 1) * WIDTH, reply[queue + 1]
    for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[base + ACTIVE], lease, lease)) do
      local record = call('HGET', KEYS[base + PROGRESS], id)
      local token = record and tonumber(string.match(record, '^%d+'))
      if token and tonumber(first) <= token and token <= tonumber(last) then
        local value = call('HGET', KEYS[base + TASKS], id)
        claims[#claims + 1] = { token - 1, { id }, { value }, { record } }
      end
    end
  end
  for queue = 1, queues do
    table.sort(reply[queue + 1], function(a, b)
      return a[1] < b[1]
    end)
  end
  return reply
end

local WRITTEN = { TASKS, PENDING, ACTIVE, DEAD, PROGRESS, EXPIRING }
local GROUPED = 49
-- The field that counts expired tasks (domain/statistics.py).
local EXPIRED = 'T'
for base = 0, last_base, WIDTH do
  local problem = check_types(base, WRITTEN)
  if problem then
    return problem
  end
end

local state = 'done'
local given, emptied, promotions = {}, {}, MAX_PROMOTIONS
-- The queues in which promotion made tasks pending where none were.
local filled = {}

-- Promote tasks that are due, in the order of their moments, as many as this call still may.
local function promote(base)
  local found = {}
  for _, state in ipairs({ SCHEDULED, RETRY }) do
    local due = call('ZRANGEBYSCORE', KEYS[base + state], '-inf', now,
      'WITHSCORES', 'LIMIT', 0, promotions + 1)
    for i = 1, #due, 2 do
      found[#found + 1] = { id = due[i], moment = due[i + 1], from = state, order = #found }
    end
  end
  if #found == 0 then
    return
  end
  table.sort(found, function(a, b)
    local first, second = tonumber(a.moment), tonumber(b.moment)
    if first == second then
      return a.order < b.order
    end
    return first < second
  end)
  if #found > promotions then
    state = 'due'
  end
  local most = math.min(#found, promotions)
  if most == 0 then
    return
  end
  local problem = check_types(base, { AGGREGATING, GROUPS })
  if problem then
    return problem
  end
  promotions = promotions - most
  local ids, gone = {}, { [SCHEDULED] = {}, [RETRY] = {} }
  for i = 1, most do
    local task = found[i]
    ids[i] = task.id
    table.insert(gone[task.from], task.id)
  end
  local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
  remove_members(KEYS[base + SCHEDULED], gone[SCHEDULED])
  remove_members(KEYS[base + RETRY], gone[RETRY])
  local sequence = call('HINCRBY', KEYS[base + META], 'sequence', #ids) - #ids
  local moved, pending, expiring, aggregating, grouped = {}, {}, {}, {}, {}
  for i, id in ipairs(ids) do
    local value = values[i]
    -- an id without a value, as of a store that somebody has edited, is no task
    if value then
      local neg_priority, expires, group = task_meta(value)
      if byte(group) == GROUPED then
        local at = #aggregating
        aggregating[at + 1], aggregating[at + 2] = found[i].moment, id
        grouped[at + 1], grouped[at + 2] = '0', group_member(group, found[i].moment, id)
      else
        local prefix = encode_sequence(sequence + i)
        moved[#moved + 1] = id
        moved[#moved + 1] = prefix .. sub(value, end_of_sequence(value))
        pending[#pending + 1] = neg_priority
        pending[#pending + 1] = prefix .. id
        if expires ~= '-' then
          expiring[#expiring + 1] = expires
          expiring[#expiring + 1] = id
        end
      end
    end
  end
  if #moved > 0 then
    call('HSET', KEYS[base + TASKS], unpack(moved))
  end
  add_members(KEYS[base + PENDING], pending)
  if #pending > 0 and call('ZCARD', KEYS[base + PENDING]) == #pending / 2 then
    filled[#filled + 1] = base
  end
  add_members(KEYS[base + EXPIRING], expiring)
  add_members(KEYS[base + AGGREGATING], aggregating)
  add_members(KEYS[base + GROUPS], grouped)
  if #grouped > 0 then
    wake_workers(base)
  end
end

-- Return the run record of a task that is dead because it expired.
local function expired_record(record)
  local earlier = record and string.match(record, '^%S+ (%S+ %S+ %S+ %S+ %S+)')
  return '0 ' .. (earlier or '0 0 0 - -') .. ' ' .. now .. ' 7 - -|expired'
end

-- Count tasks that expired, by their names.
local function count_expired(base, names)
  local words, numbers = { 0 }, {}
  for _, name in ipairs(names) do
    numbers[name] = (numbers[name] or 0) + 1
  end
  for name, number in pairs(numbers) do
    local at = #words
    words[1] = words[1] + 1
    words[at + 1], words[at + 2], words[at + 3], words[at + 4] = name, 1, EXPIRED, number
  end
  add_statistics(base, words, 1)
end

local function move_to_dead(base, ids, records, uniques, names)
  local rows, dead = {}, {}
  for i, id in ipairs(ids) do
    rows[2 * i - 1], rows[2 * i] = id, expired_record(records[i])
    dead[2 * i - 1], dead[2 * i] = now, id
  end
  if #ids > 0 then
    call('HSET', KEYS[base + PROGRESS], unpack(rows))
    add_members(KEYS[base + DEAD], dead)
    remove_members(KEYS[base + EXPIRING], ids)
    release_unique_keys(base, uniques, ids)
    publish_changes(base, ids)
    count_expired(base, names)
  end
end

-- Return the run record, in full, of a task that is claimed.
local function claimed_record(record, token)
  if not record then
    return format('%d 1 0 0 - - - - - -|', token)
  end
  local _, stop, attempts = string.find(record, '^%S+ (%d+)')
  return format('%d %d', token, (attempts or 0) + 1) .. sub(record, (stop or #record) + 1)
end

-- Say whether a sorted set of at most FEW members gets more than FEW.
local function outgrows(key, more)
  local few = more > 0 and call('ZCARD', key) or FEW + 1
  return few <= FEW and few + more > FEW
end

-- Return the last token that was given; a number that somebody has edited, and beyond which a double
-- does not count by one, is none.
local function last_token(text)
  local token = tonumber(text)
  return token and token >= 0 and token < 9e15 and token or 0
end

local earliest_token = math.floor(math.min(moment * 1e6, MAX_TIME_TOKEN))

-- Remove the ids for whose tasks no bytes are left.
local function cut_to_size(base, ids)
  for i = 1, #ids do
    if bytes_left <= 0 then
      ids[i] = nil
    else
      bytes_left = bytes_left - call('HSTRLEN', KEYS[base + TASKS], ids[i])
    end
  end
end

local MOST_SUSPECTS, DEFAULT_MAX_CRASHES = 16, 3
-- How many tasks each queue has given in this claim, and how many it may give together with these.
local held, most_of = {}, {}
for queue = 1, queues do
  held[queue] = tonumber(ARGV[6 + queues + 2 * queue]) or 0
  most_of[queue] = tonumber(ARGV[7 + queues + 2 * queue])
end

-- Return with how many tasks of its queue, itself included, a task may be handed out; nil for any.
local function most_together(value, record)
  local crashes = tonumber(string.match(record, '^%S+ %S+ %S+ (%d+)') or 0)
  if crashes == 0 then
    return
  end
  local last = string.match(value, '^%S+ %S+ %S+ (%d+)', end_of_sequence(value))
  return crashes >= (tonumber(last) or DEFAULT_MAX_CRASHES) - 1 and 1 or MOST_SUSPECTS
end

-- Return the number of the last of these tasks that may go with those before it and those given.
local function last_admitted(queue, values, records)
  local count, most = held[queue], most_of[queue] or math.huge
  for i = 1, #values do
    local value, record = values[i], records[i]
    local _, expires = nil, '-'
    if value then
      _, expires = task_meta(value)
    end
    if value and (expires == '-' or tonumber(expires) > moment) then
      local together = math.min(most, record and most_together(value, record) or math.huge)
      if count + 1 > together then
        return i - 1
      end
      count, most = count + 1, together
      most_of[queue] = most < math.huge and most or nil
      if count == most then
        return i
      end
    end
  end
end

-- Remove the tasks that may not go with those before them and those given, as some have crashed.
local function cut_to_crashes(queue, ids, values, records)
  local has_crashed = most_of[queue]
  for i = 1, #ids do
    has_crashed = has_crashed or values[i] and records[i] and most_together(values[i], records[i])
  end
  local last = has_crashed and last_admitted(queue, values, records)
  if last then
    emptied[queue] = true
    for i = #ids, last + 1, -1 do
      ids[i], values[i], records[i] = nil, nil, nil
    end
  end
end

-- Pop up to `size` tasks off PENDING; return their ids, values, run records, and the token before
-- the first one's. Values and records are false where there are none.
local function pop(base, size)
  local queue = base / WIDTH + 1
  if bytes_left <= 0 then
    state = 'more'
    return
  end
  local known = call('HMGET', KEYS[base + META], 'token', 'large')
  -- of few tasks, most often none is in a block: the one before was dissolved
  local ids, remove, has_block = nil, nil, has_blocks[base] and size >= FEWEST
  if not has_block then
    ids = call('ZRANGE', KEYS[base + PENDING], 0, size - 1)
    for i = 1, #ids do
      ids[i] = sub(ids[i], end_of_sequence(ids[i]))
      has_block = has_block or ids[i] == BLOCK
    end
  end
  if has_block then
    ids, remove = blocks_of(base).take_first(size)
  end
  local found = #ids
  if known[2] then
    cut_to_size(base, ids)
  end
  if #ids < found then
    state = 'more'
  elseif found < size then
    emptied[queue] = true
  end
  if found == 0 then
    return
  end
  local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
  local records = call('HMGET', KEYS[base + PROGRESS], unpack(ids))
  cut_to_crashes(queue, ids, values, records)
  if #ids == 0 then
    return
  end
  if remove then
    remove(#ids)
  else
    call('ZREMRANGEBYRANK', KEYS[base + PENDING], 0, #ids - 1)
  end
  local token = math.max(last_token(known[1]), earliest_token)
  local last = format('%d', token + #ids)
  call('HSET', KEYS[base + META], 'token', last)
  local at = #given
  given[at + 1], given[at + 2], given[at + 3] = queue, format('%d', token + 1), last
  return ids, values, records, token
end

-- Claim up to `wanted` tasks of a queue into `claims`; return how many.
local function take(base, wanted, claims)
  local limits = limits_of[base]
  if limits and wanted > 0 then
    wanted = math.min(wanted, (allowed_by_limits(base, limits, moment)))
  end
  local taken, rounds = 0, 0
  while taken < wanted and not emptied[base / WIDTH + 1] do
    if rounds == MAX_ROUNDS then
      state = 'more'
      break
    end
    rounds = rounds + 1
    local ids, values, records, token = pop(base, math.min(wanted - taken, MAX_TASKS_PER_CALL))
    if not ids then
      break
    end
    local rows, active, expiring, expired, expired_records, uniques, at = {}, {}, {}, {}, {}, {}, 0
    local names, has_records = {}, false
    local outgrown = outgrows(KEYS[base + ACTIVE], #ids)
    if outgrown then
      rows, active, at = { DUMMY, '' }, { '0', DUMMY }, 2
    end
    for i = 1, #ids do
      local id, value, record = ids[i], values[i], records[i]
      local _, expires, unique = nil, '-', nil
      local has_default_meta = value and byte(value, end_of_sequence(value)) == BAR
      if value and not has_default_meta then
        _, expires, _, unique = task_meta(value)
      end
      if not value then
        -- an id without a value, as of a store that somebody has edited, is no task
        records[i] = false
      elseif expires ~= '-' and tonumber(expires) <= moment then
        expired[#expired + 1] = id
        expired_records[#expired], uniques[#expired] = record, unique
        names[#expired] = task_name(value)
        values[i], has_records = false, true
        records[i] = (string.match(record or '', '^%S+ (%d+)') or '0') .. ' ' .. names[#expired]
      else
        if expires ~= '-' then
          expiring[#expiring + 1] = id
        end
        if record or not has_default_meta then
          record = claimed_record(record, token + i)
          records[i], has_records = record, true
        end
        rows[at + 1], rows[at + 2] = id, record or format('%d', token + i)
        active[at + 1], active[at + 2] = lease, id
        at = at + 2
      end
    end
    if at > 0 then
      call('HSET', KEYS[base + PROGRESS], unpack(rows))
      call('ZADD', KEYS[base + ACTIVE], unpack(active))
    end
    if outgrown then
      call('HDEL', KEYS[base + PROGRESS], DUMMY)
      call('ZREM', KEYS[base + ACTIVE], DUMMY)
      at = at - 2
    end
    remove_members(KEYS[base + EXPIRING], expiring)
    move_to_dead(base, expired, expired_records, uniques, names)
    claims[#claims + 1] = { token, ids, values, has_records and records }
    taken = taken + at / 2
    held[base / WIDTH + 1] = held[base / WIDTH + 1] + at / 2
  end
  if limits then
    spend_rate(base, limits, moment, taken)
  end
  return taken
end

-- Wake workers who found nothing before promotion filled a queue, if this call leaves tasks
-- pending.
local function wake_for_remaining()
  for _, base in ipairs(filled) do
    if call('EXISTS', KEYS[base + PENDING]) == 1 then
      wake_workers(base)
    end
  end
end

local reply = {}
for queue = 1, queues do
  if ARGV[6] ~= 'no' then
    local problem = promote((queue - 1) * WIDTH)
    if problem then
      return problem
    end
  end
  reply[queue + 1] = {}
end
if state == 'due' and ARGV[6] == 'yes' then
  -- to be done now: the next call finds tasks pending, and cannot know that none were
  wake_for_remaining()
  return { state }
end
state = 'done'
for queue = 1, queues do
  local quota = math.min(tonumber(ARGV[7 + queue]), room)
  room = room - take((queue - 1) * WIDTH, quota, reply[queue + 1])
end
for queue = 1, queues do
  if room > 0 and not emptied[queue] then
    room = room - take((queue - 1) * WIDTH, room, reply[queue + 1])
  end
end
reply[1] = room > 0 and state or 'done'

wake_for_remaining()
if #given > 0 then
  remember_reply(table.concat(given, ' '))
end
return reply
