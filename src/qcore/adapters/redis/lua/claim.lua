-- Hand out tasks of some queues, each under a lease.
--
-- ARGV[3]: this moment. ARGV[4]: the end of the leases. ARGV[5]: how many in all. ARGV[6]:
-- "yes" to make pending what is due, and to hand out nothing if there is more of that; "last" to
-- hand out all the same; "no" to leave what is due. ARGV[7]: after which moment of the server's own
-- clock nobody waits for an answer any more: a server that was away must not hand out then. Then for
-- each queue: how many of it before what room is left is shared.
-- Answer: "due" if more is due than was made pending, and nothing was handed out; "more" if there
-- may be more to hand out though the room is not filled; else "done". Then for each queue any number
-- of quadruples: the token before the first; ids; their values, nil for one that was not handed
-- out; their records, nil for one that is its token alone, which counts from the first. Nothing at
-- all where there is nothing pending or due, or nobody waits.
--
-- Tokens grow though the server forgets the last ones, as after a crash: they are microseconds, or
-- one more than the last.

local AT_ONCE = 250
-- Redis keeps up to 128 of anything as a flat list. A lease is put into that by comparing it with
-- those before it, whose digits are read anew: fifty beside fifty take half a millisecond. Where more
-- than a few get active, a member too long for a list makes a tree of them, and goes.
local FEW = 8
local LONG = '\1' .. string.rep(' ', 64)
local PROMOTED = 200
local ROUNDS = 4
local LAST_TOKEN_OF_TIME = 4e15
-- Bytes that one call reads of large tasks; a task more if that alone is as much.
local bytes_left = 524288

local queues = #KEYS / WIDTH
local now, lease, room = ARGV[3], ARGV[4], tonumber(ARGV[5])
local moment = tonumber(now)

local clock = call('TIME')
if clock[1] + clock[2] / 1e6 > tonumber(ARGV[7]) then
  return {}
end

local looked, limited = {}, {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, trouble, text = version_of(base)
  limited[base] = limits_in(text)
  if trouble then
    return trouble
  end
  looked[#looked + 1] = KEYS[base + PENDING]
  looked[#looked + 1] = KEYS[base + SCHEDULED]
  looked[#looked + 1] = KEYS[base + RETRY]
end

if ARGV[1] == '0' and call('EXISTS', unpack(looked)) == 0 then
  return {}
end

-- What was handed out before, to a caller who never heard of it: of what is active until then, what
-- has one of the tokens that were given.
local before = answered()
if before then
  local answer = { 'done' }
  for queue = 1, queues do
    answer[queue + 1] = {}
  end
  for queue, first, last in string.gmatch(before, '(%d+) (%d+) (%d+)') do
    local base, claims = (queue - 1) * WIDTH, answer[queue + 1]
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
    table.sort(answer[queue + 1], function(a, b)
      return a[1] < b[1]
    end)
  end
  return answer
end

local WRITTEN = { TASKS, PENDING, ACTIVE, DEAD, PROGRESS, EXPIRING }
local GROUPED = 49
for base = 0, #KEYS - WIDTH, WIDTH do
  local trouble = misused(base, WRITTEN)
  if trouble then
    return trouble
  end
end

local state = 'done'
local given, emptied, promotions = {}, {}, PROMOTED
-- The queues that had nothing pending before something became due.
local filled = {}

-- Make pending what is due, in the order of its moments, up to what is left for this call; a task
-- with a group goes to its group.
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
  local trouble = misused(base, { AGGREGATING, GROUPS })
  if trouble then
    return trouble
  end
  promotions = promotions - most
  local ids, gone = {}, { [SCHEDULED] = {}, [RETRY] = {} }
  for i = 1, most do
    local task = found[i]
    ids[i] = task.id
    table.insert(gone[task.from], task.id)
  end
  local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
  take_out(KEYS[base + SCHEDULED], gone[SCHEDULED])
  take_out(KEYS[base + RETRY], gone[RETRY])
  local sequence = call('HINCRBY', KEYS[base + META], 'sequence', #ids) - #ids
  local moved, pending, expiring, aggregating, grouped = {}, {}, {}, {}, {}
  for i, id in ipairs(ids) do
    local value = values[i]
    -- what has no value was tampered with, and is no task
    if value then
      local rank, expires, group = facts(value)
      if byte(group) == GROUPED then
        local at = #aggregating
        aggregating[at + 1], aggregating[at + 2] = found[i].moment, id
        grouped[at + 1], grouped[at + 2] = '0', member_of(group, found[i].moment, id)
      else
        local line = line_of(sequence + i)
        moved[#moved + 1] = id
        moved[#moved + 1] = line .. sub(value, rest_of(value))
        pending[#pending + 1] = rank
        pending[#pending + 1] = line .. id
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
  add(KEYS[base + PENDING], pending)
  if #pending > 0 and call('ZCARD', KEYS[base + PENDING]) == #pending / 2 then
    filled[#filled + 1] = base
  end
  add(KEYS[base + EXPIRING], expiring)
  add(KEYS[base + AGGREGATING], aggregating)
  add(KEYS[base + GROUPS], grouped)
  if #grouped > 0 then
    wake(base)
  end
end

-- Return the record of a task that is dead because it expired.
local function expired(record)
  local before = record and string.match(record, '^%S+ (%S+ %S+ %S+ %S+ %S+)')
  return '0 ' .. (before or '0 0 0 - -') .. ' ' .. now .. ' 7 - -|expired'
end

local function bury(base, ids, records, uniques)
  local rows, dead = {}, {}
  for i, id in ipairs(ids) do
    rows[2 * i - 1], rows[2 * i] = id, expired(records[i])
    dead[2 * i - 1], dead[2 * i] = now, id
  end
  if #ids > 0 then
    call('HSET', KEYS[base + PROGRESS], unpack(rows))
    add(KEYS[base + DEAD], dead)
    take_out(KEYS[base + EXPIRING], ids)
    let_go(base, uniques, ids)
    tell_news(base, ids)
  end
end

-- Return the record of a task that is not as plain as most when it is handed out.
local function claimed(record, token)
  if not record then
    return format('%.0f 1 0 0 - - - - - -|', token)
  end
  local _, stop, attempts = string.find(record, '^%S+ (%d+)')
  return format('%.0f %.0f', token, (attempts or 0) + 1) .. sub(record, (stop or #record) + 1)
end

-- Say whether a sorted set of few gets many.
local function outgrows(key, more)
  local few = more > 0 and call('ZCARD', key) or FEW + 1
  return few <= FEW and few + more > FEW
end

local earliest_token = math.floor(math.min(moment * 1e6, LAST_TOKEN_OF_TIME))

-- Leave out of ids those whose tasks are too large to be read now.
local function cut(base, ids)
  for i = 1, #ids do
    if bytes_left <= 0 then
      ids[i] = nil
    else
      bytes_left = bytes_left - call('HSTRLEN', KEYS[base + TASKS], ids[i])
    end
  end
end

-- Take up to `size` tasks out of a queue; return their ids, values, records and the token before
-- the first one's. A value is false where a task was not handed out, a record where it is nothing
-- but the token.
local function pop(base, size)
  local queue = base / WIDTH + 1
  if bytes_left <= 0 then
    state = 'more'
    return
  end
  local ids = call('ZRANGE', KEYS[base + PENDING], 0, size - 1)
  local known = call('HMGET', KEYS[base + META], 'token', 'large')
  local found = #ids
  for i = 1, found do
    ids[i] = sub(ids[i], rest_of(ids[i]))
  end
  if known[2] then
    cut(base, ids)
  end
  if #ids < found then
    state = 'more'
  elseif found < size then
    emptied[queue] = true
  end
  if found == 0 then
    return
  end
  call('ZREMRANGEBYRANK', KEYS[base + PENDING], 0, #ids - 1)
  local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
  local records = call('HMGET', KEYS[base + PROGRESS], unpack(ids))
  local token = math.max(tonumber(known[1]) or 0, earliest_token)
  local last = format('%.0f', token + #ids)
  call('HSET', KEYS[base + META], 'token', last)
  local at = #given
  given[at + 1], given[at + 2], given[at + 3] = queue, format('%.0f', token + 1), last
  return ids, values, records, token
end

-- Hand out up to `wanted` tasks of a queue into `claims`; return how many.
local function take(base, wanted, claims)
  local limits = limited[base]
  if limits then
    wanted = math.min(wanted, (free(base, limits, moment)))
  end
  local taken, rounds = 0, 0
  while taken < wanted and not emptied[base / WIDTH + 1] do
    if rounds == ROUNDS then
      state = 'more'
      break
    end
    rounds = rounds + 1
    local ids, values, records, token = pop(base, math.min(wanted - taken, AT_ONCE))
    if not ids then
      break
    end
    local rows, active, timed, late, their, uniques, at = {}, {}, {}, {}, {}, {}, 0
    local many = outgrows(KEYS[base + ACTIVE], #ids)
    if many then
      rows, active, at = { LONG, '' }, { 0, LONG }, 2
    end
    for i = 1, #ids do
      local id, value, record = ids[i], values[i], records[i]
      local _, expires, unique = nil, '-', nil
      local plain = value and byte(value, rest_of(value)) == BAR
      if value and not plain then
        _, expires, _, unique = facts(value)
      end
      if not value then
        -- what has no value was tampered with, and is no task
        record = false
      elseif expires ~= '-' and tonumber(expires) <= moment then
        late[#late + 1] = id
        their[#late], uniques[#late] = record, unique
        values[i] = false
      else
        if expires ~= '-' then
          timed[#timed + 1] = id
        end
        if record or not plain then
          record = claimed(record, token + i)
          records[i] = record
        end
        rows[at + 1], rows[at + 2] = id, record or token + i
        active[at + 1], active[at + 2] = lease, id
        at = at + 2
      end
    end
    if at > 0 then
      call('HSET', KEYS[base + PROGRESS], unpack(rows))
      call('ZADD', KEYS[base + ACTIVE], unpack(active))
    end
    if many then
      call('HDEL', KEYS[base + PROGRESS], LONG)
      call('ZREM', KEYS[base + ACTIVE], LONG)
      at = at - 2
    end
    take_out(KEYS[base + EXPIRING], timed)
    bury(base, late, their, uniques)
    claims[#claims + 1] = { token, ids, values, records }
    taken = taken + at / 2
  end
  if limits then
    spend(base, limits, moment, taken)
  end
  return taken
end

-- Wake those who found nothing before this made something pending, and left it.
local function tell_of_leavings()
  for _, base in ipairs(filled) do
    if call('EXISTS', KEYS[base + PENDING]) == 1 then
      wake(base)
    end
  end
end

local answer = {}
for queue = 1, queues do
  if ARGV[6] ~= 'no' then
    local trouble = promote((queue - 1) * WIDTH)
    if trouble then
      return trouble
    end
  end
  answer[queue + 1] = {}
end
if state == 'due' and ARGV[6] == 'yes' then
  -- the next call finds it pending, and knows no more that nothing was
  tell_of_leavings()
  return { state }
end
state = 'done'
for queue = 1, queues do
  local quota = math.min(tonumber(ARGV[7 + queue]), room)
  room = room - take((queue - 1) * WIDTH, quota, answer[queue + 1])
end
for queue = 1, queues do
  if room > 0 and not emptied[queue] then
    room = room - take((queue - 1) * WIDTH, room, answer[queue + 1])
  end
end
answer[1] = room > 0 and state or 'done'

tell_of_leavings()
if #given > 0 then
  remember(table.concat(given, ' '))
end
return answer
