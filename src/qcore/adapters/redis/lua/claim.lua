-- Hand out tasks of some queues, each under a lease.
--
-- ARGV[3]: this moment. ARGV[4]: the end of the leases. ARGV[5]: how many in all. ARGV[6]:
-- "yes" to make pending what is due, and to hand out nothing if there is more of that; "last" to
-- hand out all the same; "no" to leave what is due. Then for each queue: how many of it before what
-- room is left is shared.
-- Answer: "due" if more is due than was made pending, and nothing was handed out; "more" if there
-- may be more to hand out though the room is not filled; else "done". Then for each queue a list of
-- ids, values and records. Nothing at all where there is nothing pending or due.

local AT_ONCE = 250
local ROUNDS = 4

local queues = #KEYS / WIDTH
local now, lease, room = ARGV[3], ARGV[4], tonumber(ARGV[5])
local moment = tonumber(now)

local looked = {}
for base = 0, #KEYS - WIDTH, WIDTH do
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
    local ids = call('ZRANGEBYSCORE', KEYS[base + ACTIVE], lease, lease)
    for _, id in ipairs(ids) do
      local record = call('HGET', KEYS[base + PROGRESS], id)
      local token = record and tonumber(string.match(record, '^%d+'))
      if token and tonumber(first) <= token and token <= tonumber(last) then
        claims[#claims + 1] = id
        claims[#claims + 1] = call('HGET', KEYS[base + TASKS], id)
        claims[#claims + 1] = record
      end
    end
  end
  return answer
end

for base = 0, #KEYS - WIDTH, WIDTH do
  local _, trouble = version_of(base)
  if trouble then
    return trouble
  end
end

local state = 'done'
local given, emptied = {}, {}

-- Make pending what is due, in the order of its moments; a task with a group goes to its group.
local function promote(base)
  local found = {}
  for _, state in ipairs({ SCHEDULED, RETRY }) do
    local due = call('ZRANGEBYSCORE', KEYS[base + state], '-inf', now,
      'WITHSCORES', 'LIMIT', 0, AT_ONCE + 1)
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
  if #found > AT_ONCE then
    state = 'due'
  end
  local ids, gone = {}, { [SCHEDULED] = {}, [RETRY] = {} }
  for i = 1, math.min(#found, AT_ONCE) do
    local task = found[i]
    ids[i] = task.id
    table.insert(gone[task.from], task.id)
  end
  local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
  take_out(KEYS[base + SCHEDULED], gone[SCHEDULED])
  take_out(KEYS[base + RETRY], gone[RETRY])
  local sequence = call('HINCRBY', KEYS[base + META], 'sequence', #ids) - #ids
  local moved, pending, expiring, grouped = {}, {}, {}, {}
  for i, id in ipairs(ids) do
    local value = values[i]
    -- what has no value was tampered with, and is no task
    if value then
      local rank, expires, group = facts(value)
      if group == '1' then
        grouped[#grouped + 1] = found[i].moment
        grouped[#grouped + 1] = id
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
  add(KEYS[base + EXPIRING], expiring)
  add(KEYS[base + AGGREGATING], grouped)
end

-- Return the record of a task that is dead because it expired.
local function expired(record)
  local before = '0 0 0 - -'
  if record then
    before = string.match(record, '^%S+ (%S+ %S+ %S+ %S+ %S+)')
  end
  return '0 ' .. before .. ' ' .. now .. ' 7 - -|expired'
end

local function bury(base, ids, records)
  local rows, dead = {}, {}
  for i, id in ipairs(ids) do
    rows[#rows + 1] = id
    rows[#rows + 1] = expired(records[i])
    dead[#dead + 1] = now
    dead[#dead + 1] = id
  end
  if #ids > 0 then
    call('HSET', KEYS[base + PROGRESS], unpack(rows))
    add(KEYS[base + DEAD], dead)
  end
end

-- Hand out up to `wanted` tasks of a queue into `claims`; return how many.
local function take(base, wanted, claims)
  local taken, rounds = 0, 0
  while taken < wanted and not emptied[base / WIDTH + 1] do
    if rounds == ROUNDS then
      state = 'more'
      break
    end
    rounds = rounds + 1
    local size = math.min(wanted - taken, AT_ONCE)
    local popped = call('ZPOPMIN', KEYS[base + PENDING], size)
    if #popped < 2 * size then
      emptied[base / WIDTH + 1] = true
    end
    if #popped == 0 then
      break
    end
    local ids = {}
    for i = 1, #popped, 2 do
      ids[#ids + 1] = sub(popped[i], rest_of(popped[i]))
    end
    local values = call('HMGET', KEYS[base + TASKS], unpack(ids))
    local records = call('HMGET', KEYS[base + PROGRESS], unpack(ids))
    local token = call('HINCRBY', KEYS[base + META], 'token', #ids) - #ids
    given[#given + 1] = base / WIDTH + 1
    given[#given + 1] = format('%.0f', token + 1)
    given[#given + 1] = format('%.0f', token + #ids)
    local rows, active, timed, late, their = {}, {}, {}, {}, {}
    for i, id in ipairs(ids) do
      local value, record = values[i], records[i]
      -- what has no value was tampered with, and is no task
      if value then
        local plain = byte(value, rest_of(value)) == BAR
        local expires = '-'
        if not plain then
          expires = select(2, facts(value))
        end
        if expires ~= '-' then
          timed[#timed + 1] = id
        end
        if expires ~= '-' and tonumber(expires) <= moment then
          late[#late + 1] = id
          their[#late] = record
        else
          local mine = format('%.0f', token + i)
          if record then
            local _, stop, attempts = string.find(record, '^%S+ (%d+)')
            mine = mine .. ' ' .. format('%.0f', attempts + 1) .. sub(record, stop + 1)
          elseif not plain then
            mine = mine .. ' 1 0 0 - - - - - -|'
          end
          local at = #rows
          rows[at + 1], rows[at + 2] = id, mine
          active[at + 1], active[at + 2] = lease, id
          at = #claims
          claims[at + 1], claims[at + 2], claims[at + 3] = id, value, mine
          taken = taken + 1
        end
      end
    end
    if #rows > 0 then
      call('HSET', KEYS[base + PROGRESS], unpack(rows))
    end
    add(KEYS[base + ACTIVE], active)
    take_out(KEYS[base + EXPIRING], timed)
    bury(base, late, their)
  end
  return taken
end

local answer = {}
for queue = 1, queues do
  if ARGV[6] ~= 'no' then
    promote((queue - 1) * WIDTH)
  end
  answer[queue + 1] = {}
end
if state == 'due' and ARGV[6] == 'yes' then
  return { state }
end
state = 'done'
for queue = 1, queues do
  local quota = math.min(tonumber(ARGV[6 + queue]), room)
  room = room - take((queue - 1) * WIDTH, quota, answer[queue + 1])
end
for queue = 1, queues do
  if room > 0 and not emptied[queue] then
    room = room - take((queue - 1) * WIDTH, room, answer[queue + 1])
  end
end
answer[1] = room > 0 and state or 'done'

if #given > 0 then
  remember(table.concat(given, ' '))
end
return answer
