-- Store tasks of one queue.
--
-- ARGV[3]: "1" if the queue may be made. ARGV[4]: this moment, empty where no task has a unique key.
-- Then for each task: its id, no id twice; its value without the line; the moment it is scheduled
-- for, nothing to make it pending, "g" and the moment it is due where it waits in its group.
-- Behind that, where it has a unique key: a blank, until when ("-" for as long as it lives), a blank,
-- and "1" if it takes the place of one that has the key and does not run, else "0".
-- Answer: for each task that was refused, its number (from 0) and the number of the key of a state,
-- that of its id; or, with a colon and an id in hexadecimal behind it, that of the task which has its
-- unique key. Or "whole", and nothing was written: it takes all keys, and leave to make the queue.
-- Tasks with only what is usual, pending at once in a queue that is there, take the first four.
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
  trouble = occupied(0)
  if trouble then
    return trouble
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

-- By number, what tasks with a unique key ask for; by key, who has it.
local unique, lasts, dues, replaces, has = {}, {}, {}, {}, {}
if ARGV[4] ~= '' then
  local asked = {}
  for i = 1, #ids do
    local body, how = ARGV[FIRST + 3 * i - 2], ARGV[FIRST + 3 * i - 1]
    dues[i], lasts[i], replaces[i] = string.match(how, '^(%S*) (%S+) ([01])$')
    if dues[i] then
      unique[i] = string.match(body, '^[^|]* ([^|]+)|')
      asked[#asked + 1] = unique[i]
    end
  end
  local holders = redis.pcall('HMGET', KEYS[UNIQUE], unpack(asked))
  if holders.err then
    return foreign(KEYS[UNIQUE])
  end
  for i = 1, #asked do
    has[asked[i]] = holders[i]
    known = known or holders[i]
  end
end
if known and #KEYS < WIDTH then
  return 'whole'
end
local idle = redis.pcall('ZCARD', KEYS[PENDING])
if type(idle) == 'table' then
  return foreign(KEYS[PENDING])
elseif #KEYS == WIDTH then
  trouble = misused(0, known and ALL or { SCHEDULED, EXPIRING, AGGREGATING, GROUPS })
  if trouble then
    return trouble
  end
end
local sequence = call('HINCRBY', KEYS[META], 'sequence', #ids) - #ids
local values, pending, scheduled, expiring, refused = {}, {}, {}, {}, {}
local aggregating, grouped, begun = {}, {}, {}
local LARGE = 4096
local GROUPED = 103
local large = false

-- By number, what does not go in; by key, the number of the task that has it from now on.
local left_out, entered = {}, {}

local function is_live(state)
  return state and state ~= COMPLETED and state ~= ARCHIVED and state ~= DEAD
end

-- Return the task that has a unique key, its state, and its value if it is stored already.
local function holder_of(key)
  local number = entered[key]
  if number then
    local due = dues[number]
    return ids[number], due == '' and PENDING or byte(due) == GROUPED and AGGREGATING or SCHEDULED
  end
  local last, id = string.match(has[key] or '', '^(%S+) (.*)$')
  -- what is not a number is not greater either
  if not id or not (last == '-' or (tonumber(last) or 0) > tonumber(ARGV[4])) then
    return
  end
  local value = call('HGET', KEYS[TASKS], id)
  -- one that is no more, or has no such key, was tampered with
  if value and select(4, facts(value)) == key then
    local state = where(0, id, value)
    if is_live(state) then
      return id, state, value
    end
  end
end

-- Leave nothing of a task but its value.
local function forget(id, value, state)
  if state == PENDING then
    call('ZREM', KEYS[PENDING], sub(value, 1, rest_of(value) - 1) .. id)
    call('ZREM', KEYS[EXPIRING], id)
  elseif state == AGGREGATING then
    local due = call('ZSCORE', KEYS[AGGREGATING], id)
    call('ZREM', KEYS[GROUPS], member_of(select(3, facts(value)), due, id))
    call('ZREM', KEYS[AGGREGATING], id)
  elseif state then
    call('ZREM', KEYS[state], id)
    call('ZREM', KEYS[RETAINED], id)
  else
    let_go(0, { select(4, facts(value)) }, { id })
  end
  call('HDEL', KEYS[PROGRESS], id)
  drop_details(0, { id })
end

-- Make room for another task with the same unique key.
local function give_way(key, id, state, value)
  if not value then
    left_out[entered[key]] = true
    return
  end
  forget(id, value, state)
  call('HDEL', KEYS[TASKS], id)
end

local function refuse(i, state, holder)
  left_out[i] = true
  refused[#refused + 1] = i - 1
  refused[#refused + 1] = holder and state .. ':' .. string.gsub(holder, '.', function(each)
    return format('%02x', byte(each))
  end) or state
end

local function decide(i)
  local id, key = ids[i], unique[i]
  local state = found[i] and where(0, id, found[i])
  local holder, its, value
  if key then
    holder, its, value = holder_of(key)
  end
  local gives_way = holder and its ~= ACTIVE and replaces[i] == '1'
  if is_live(state) and not (gives_way and holder == id) then
    refuse(i, state)
    return
  elseif holder and not gives_way then
    refuse(i, its, holder)
    return
  end
  if holder then
    give_way(key, holder, its, value)
  end
  if found[i] and holder ~= id then
    forget(id, found[i], state)
  end
  if key then
    entered[key] = i
  end
end

if known or ARGV[4] ~= '' then
  for i = 1, #ids do
    decide(i)
  end
end

local first
for i = 1, #ids do
  local id, body, due = ids[i], ARGV[FIRST + 3 * i - 2], dues[i] or ARGV[FIRST + 3 * i - 1]
  if not left_out[i] then
    local line = line_of(sequence + i)
    large = large or #body > LARGE
    local at = #values
    values[at + 1] = id
    values[at + 2] = line .. body
    if byte(due) == GROUPED then
      local moment = sub(due, 2)
      local _, _, group = facts(line .. body)
      local at = #aggregating
      aggregating[at + 1], aggregating[at + 2] = moment, id
      grouped[at + 1], grouped[at + 2] = '0', member_of(group, moment, id)
      local name = string.match(grouped[at + 2], '^[^\1]*')
      begun[name] = (begun[name] or 0) + 1
    elseif due ~= '' then
      at = #scheduled
      scheduled[at + 1] = due
      scheduled[at + 2] = id
      first = math.min(first or tonumber(due), tonumber(due))
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
add(KEYS[AGGREGATING], aggregating)
add(KEYS[GROUPS], grouped)
local begins = false
for group, number in pairs(begun) do
  local members = call('ZLEXCOUNT', KEYS[GROUPS], '[' .. group .. '\1', '(' .. group .. '\2')
  begins = begins or members == number
end
local held = {}
for key, i in pairs(entered) do
  held[#held + 1] = key
  held[#held + 1] = lasts[i] .. ' ' .. ids[i]
end
if #held > 0 then
  call('HSET', KEYS[UNIQUE], unpack(held))
end
if begins or (#pending > 0 and idle == 0)
  or (#scheduled > 0 and is_next(KEYS[SCHEDULED], first)) then
  wake(0)
end
local answer = table.concat(refused, ' ')
remember(answer)
return answer
