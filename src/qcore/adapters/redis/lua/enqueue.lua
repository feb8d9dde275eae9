-- Store tasks of one queue.
--
-- ARGV[3]: "1" if the queue may be created. ARGV[4]: now, empty where no task has a unique key or
-- keeps what has ended under its id, "-" where none has a placement.
-- Then for each task its id, each once; its value without the sequence; and, unless none has one, its
-- placement: empty for a pending task, a moment for a scheduled one, "g" and the moment it was due
-- for one that waits in its group. In front of that stands "k" if it keeps a task of its id that has
-- ended. A task with a unique key has behind it, each after a blank: until when it holds the key
-- ("-" until it ends), and what it does where another holds the key: "0" if it stays out, "1" if it
-- replaces a holder that is not active, "2" if besides it waits for the end of an active one.
-- Reply: for each task that was refused, its index (from 0), and the number of the key of a state:
-- that of the task with its id; or, with a colon and an id in hexadecimal behind it, that of the
-- task which holds its unique key. For one that waits for the end of another, its index and "s". Or "needs_all_keys", and nothing was written: the call needs all
-- keys, and leave to create the queue. The first five keys do for tasks with default metadata that
-- are pending at once in a queue that exists.
-- Errors: QCORE FOREIGN where a key of a queue to be created exists.

local earlier = earlier_reply()
if earlier then
  return earlier
end
local version, problem, _, last_number = read_version(0)
if problem then
  return problem
end
if not version then
  if ARGV[3] ~= '1' then
    return 'needs_all_keys'
  end
  problem = check_unused(0)
  if problem then
    return problem
  end
  call('HSET', KEYS[META], 'version', VERSION)
end
local makes_blocks, MANY = version ~= '1', 128

local FIRST, KEEPS = 5, 107
-- How many arguments there are of each task.
local STRIDE = ARGV[4] == '-' and 2 or 3
local BLANK = 32
local ids, packs, at_once = {}, makes_blocks, 0
for i = FIRST, #ARGV, STRIDE do
  local placement = STRIDE == 3 and ARGV[i + 2] or ''
  ids[#ids + 1] = ARGV[i]
  packs = packs and #ARGV[i] == ID_SIZE
  at_once = at_once + ((placement == '' or byte(placement) == BLANK) and 1 or 0)
end
packs = packs and at_once >= FEWEST
local found = call('HMGET', KEYS[TASKS], unpack(ids))
local known = false
for i = 1, #ids do
  known = known or found[i]
end

-- By index: the placement; whether what has ended is kept; and of tasks with a unique key, the key,
-- how long it is held, and what is done where another holds it. By key: what UNIQUE has.
local placements, keeps, unique, held_until, modes = {}, {}, {}, {}, {}
local stored_holder, stored_successor = {}, {}
local has_conditions = ARGV[4] ~= '' and STRIDE == 3
if has_conditions then
  local asked = {}
  for i = 1, #ids do
    local body, placement = ARGV[FIRST + 3 * i - 2], ARGV[FIRST + 3 * i - 1]
    keeps[i] = byte(placement) == KEEPS
    placement = keeps[i] and sub(placement, 2) or placement
    placements[i], held_until[i], modes[i] = string.match(placement, '^(%S*) (%S+) ([012])$')
    if placements[i] then
      unique[i] = string.match(body, '^[^|]* ([^|]+)|')
      asked[#asked + 1] = unique[i]
      asked[#asked + 1] = '\n' .. unique[i]
    else
      placements[i] = placement
    end
  end
  local holders = #asked > 0 and redis.pcall('HMGET', KEYS[UNIQUE], unpack(asked)) or {}
  if holders.err then
    return wrong_type(KEYS[UNIQUE])
  end
  for i = 1, #asked, 2 do
    stored_holder[asked[i]] = holders[i]
    stored_successor[asked[i]] = holders[i + 1]
    known = known or holders[i]
  end
end
if known and #KEYS < WIDTH then
  return 'needs_all_keys'
end
local idle = redis.pcall('ZCARD', KEYS[PENDING])
if type(idle) == 'table' then
  return wrong_type(KEYS[PENDING])
elseif #KEYS == WIDTH then
  problem = check_types(0, known and ALL_KEYS or { SCHEDULED, EXPIRING, AGGREGATING, GROUPS })
  if problem then
    return problem
  end
end

-- Tasks that go into blocks have the numbers of whole blocks, which nobody else has: then no task is
-- between those of a block. Where somebody has set the sequence back, and it comes to blocks that
-- are there, none is made.
local sequence, reserved = last_number, #ids
if packs then
  sequence = math.ceil((last_number + 1) / SPAN) * SPAN - 1
  reserved = sequence + math.ceil(#ids / SPAN) * SPAN - last_number
  local fields = {}
  for number = sequence + 1, sequence + #ids, SPAN do
    fields[#fields + 1] = encode_sequence(number)
  end
  local taken = redis.pcall('HMGET', KEYS[BLOCKS], unpack(fields))
  if taken.err then
    return wrong_type(KEYS[BLOCKS])
  end
  for i = 1, #fields do
    packs = packs and not taken[i]
  end
end
call('HINCRBY', KEYS[META], 'sequence', reserved)
local values, pending, scheduled, expiring, reply = {}, {}, {}, {}, {}
local aggregating, grouped, added_to_group = {}, {}, {}
local LARGE = 4096
local GROUPED = 103
local large = false

-- By index, whether a task is not stored; by unique key, the index of its new holder in this call,
-- that of its new successor, and the task which that one waits for.
local left_out, entered, succeeding, awaited = {}, {}, {}, {}
-- Fields of UNIQUE of successors that are replaced.
local obsolete = {}

-- Return the task that holds a unique key, its state, and its value if it is stored already.
local function holder_of(key)
  local index = entered[key]
  if index then
    local due = placements[index]
    return ids[index], due == '' and PENDING or byte(due) == GROUPED and AGGREGATING or SCHEDULED
  end
  return living_holder(0, key, stored_holder[key], ARGV[4])
end

-- Delete all of a task but its value.
local function delete_all_but_value(id, value, state)
  if state == PENDING then
    blocks_of(0).remove({ sub(value, 1, end_of_sequence(value) - 1) .. id })
    call('ZREM', KEYS[EXPIRING], id)
  elseif state == AGGREGATING then
    local due = call('ZSCORE', KEYS[AGGREGATING], id)
    call('ZREM', KEYS[GROUPS], group_member(select(3, task_meta(value)), due, id))
    call('ZREM', KEYS[AGGREGATING], id)
  elseif state then
    call('ZREM', KEYS[state], id)
    call('ZREM', KEYS[RETAINED], id)
  else
    release_unique_keys(0, { select(4, task_meta(value)) }, { id })
  end
  call('HDEL', KEYS[PROGRESS], id)
  delete_details(0, { id })
end

-- Remove a task that another one replaces: that of an index in this call, or a stored one.
local function replace(index, id, state, value)
  if index then
    left_out[index] = true
    return
  end
  delete_all_but_value(id, value, state)
  call('HDEL', KEYS[TASKS], id)
end

-- Return the task that waits for the end of the holder of a unique key; its index in this call, or
-- its state and value.
local function successor_of(key)
  if succeeding[key] then
    return ids[succeeding[key]], succeeding[key]
  end
  local _, _, id = parse_successor(stored_successor[key])
  local value = id and call('HGET', KEYS[TASKS], id)
  local state = value and find_state(0, id, value)
  if is_live(state) then
    return id, nil, state, value
  end
end

local function refuse(i, state, holder)
  left_out[i] = true
  reply[#reply + 1] = i - 1
  reply[#reply + 1] = holder and state .. ':' .. hexadecimal(holder) or state
end

local function decide(i)
  local id, key = ids[i], unique[i]
  local state = found[i] and find_state(0, id, found[i])
  local holder, holder_state, value, successor, index, successor_state, successor_value
  if key then
    holder, holder_state, value = holder_of(key)
  end
  if holder then
    successor, index, successor_state, successor_value = successor_of(key)
  end
  local waits = holder_state == ACTIVE and modes[i] == '2'
  local replaces_holder = holder and holder_state ~= ACTIVE and modes[i] ~= '0'
  local gives_way = (replaces_holder and holder == id)
    or ((replaces_holder or waits) and successor == id)
  if state and (is_live(state) or keeps[i]) and not gives_way then
    refuse(i, state)
    return
  elseif holder and not (replaces_holder or waits) then
    refuse(i, holder_state, holder)
    return
  end
  if successor then
    replace(index, successor, successor_state, successor_value)
    succeeding[key], awaited[key] = nil, nil
    obsolete[#obsolete + 1] = '\n' .. key
  end
  if replaces_holder then
    replace(entered[key], holder, holder_state, value)
  end
  if found[i] and not gives_way then
    delete_all_but_value(id, found[i], state)
  end
  if waits then
    succeeding[key], awaited[key] = i, holder
    reply[#reply + 1] = i - 1
    reply[#reply + 1] = 's'
  elseif key then
    entered[key] = i
  end
end

-- Return when a successor is due by what was asked for.
local function asked_due(placement)
  if placement == '' then
    return ARGV[4]
  end
  return byte(placement) == GROUPED and sub(placement, 2) or placement
end

if known or has_conditions then
  for i = 1, #ids do
    decide(i)
  end
end

-- Put the pending tasks of priority 0 with the SPAN numbers from `start` into a block, of which the
-- latest task of this call has the last one or a later one.
local function pack_latest(latest, start)
  local rank = call('ZRANK', KEYS[PENDING], latest)
  local lowest = math.max(0, rank - SPAN - #ids)
  local rows = call('ZRANGE', KEYS[PENDING], lowest, rank)
  local field, heads, first, entries = encode_sequence(start), {}, nil, {}
  local size = #field
  for number = start, start + SPAN - 1, 16 do
    heads[sub(encode_sequence(number), 1, -2)] = true
  end
  for i, row in ipairs(rows) do
    if heads[sub(row, 1, size - 1)] then
      if #row ~= size + ID_SIZE then
        return
      end
      first = first or i
      entries[#entries + 1] = row
    end
  end
  -- where the first one has the priority 0, all behind it have
  if #entries >= FEWEST and call('ZSCORE', KEYS[PENDING], rows[first]) == '0'
    and not redis.pcall('HGET', KEYS[BLOCKS], field) then
    lowest = lowest + first - 1
    call('ZREMRANGEBYRANK', KEYS[PENDING], lowest, lowest + #entries - 1)
    blocks_of(0).put_back(table.concat(entries))
    blocks_of(0).count(#entries - 1)
  end
end

local first

-- The members in the block that tasks go into, and the index of its first number; and how many tasks are
-- in blocks less the blocks.
local entries, last_entry, begins, blocks, packed = {}, 0, 1, {}, 0

local function end_block()
  if last_entry > 0 then
    local content = table.concat(entries, '', 1, last_entry)
    local at = #pending
    pending[at + 1], pending[at + 2] = 0, blocks_of(0).member(content)
    at = #blocks
    blocks[at + 1], blocks[at + 2] = blocks_of(0).field(content), content
    packed, last_entry = packed + last_entry - 1, 0
  end
end

for i = 1, #ids do
  local body = ARGV[FIRST + STRIDE * (i - 1) + 1]
  local id, due = ids[i], placements[i] or STRIDE == 3 and ARGV[FIRST + 3 * i - 1] or ''
  if not left_out[i] then
    local prefix = encode_sequence(sequence + i)
    large = large or #body > LARGE
    local at = #values
    values[at + 1] = id
    values[at + 2] = prefix .. body
    if unique[i] and succeeding[unique[i]] == i then
      due = NEVER
    end
    if byte(due) == GROUPED then
      local moment = sub(due, 2)
      local _, _, group = task_meta(prefix .. body)
      local at = #aggregating
      aggregating[at + 1], aggregating[at + 2] = moment, id
      grouped[at + 1], grouped[at + 2] = '0', group_member(group, moment, id)
      local name = string.match(grouped[at + 2], '^[^\1]*')
      added_to_group[name] = (added_to_group[name] or 0) + 1
    elseif due ~= '' then
      at = #scheduled
      scheduled[at + 1] = due
      scheduled[at + 2] = id
      first = math.min(first or tonumber(due), tonumber(due))
    else
      local neg_priority, expires = '0', '-'
      if byte(body) ~= BAR then
        neg_priority, expires = task_meta(prefix .. body)
      end
      if packs and neg_priority == '0' then
        if i >= begins + SPAN then
          end_block()
          begins = i - (i - 1) % SPAN
        end
        last_entry = last_entry + 1
        entries[last_entry] = prefix .. id
      else
        at = #pending
        pending[at + 1] = neg_priority
        pending[at + 2] = prefix .. id
      end
      if expires ~= '-' then
        expiring[#expiring + 1] = expires
        expiring[#expiring + 1] = id
      end
    end
  end
end

end_block()

if #values > 0 then
  -- Up to 512 short fields Redis stores a hash as a listpack, where n fields cost O(n²). Where many come
  -- into few, add a dummy longer than 64 bytes, which converts it to a hash table, then remove it.
  local dummy = #ids >= FEWEST and call('HLEN', KEYS[TASKS]) < 512 and '\1' .. string.rep(' ', 64)
  if dummy then
    call('HSET', KEYS[TASKS], dummy, '', unpack(values))
    call('HDEL', KEYS[TASKS], dummy)
  else
    call('HSET', KEYS[TASKS], unpack(values))
  end
end
if large then
  -- from now on a claim reads sizes before it reads values
  call('HSET', KEYS[META], 'large', 1)
end
if #pending > 0 then
  call('ZADD', KEYS[PENDING], unpack(pending))
  add_members(KEYS[EXPIRING], expiring)
end
if #blocks > 0 then
  call('HSET', KEYS[BLOCKS], unpack(blocks))
  blocks_of(0).count(packed)
end
add_members(KEYS[SCHEDULED], scheduled)
add_members(KEYS[AGGREGATING], aggregating)
add_members(KEYS[GROUPS], grouped)
local starts_group = false
for group, number in pairs(added_to_group) do
  local members = call('ZLEXCOUNT', KEYS[GROUPS], '[' .. group .. '\1', '(' .. group .. '\2')
  starts_group = starts_group or members == number
end
local held = {}
for key, i in pairs(entered) do
  held[#held + 1] = key
  held[#held + 1] = held_until[i] .. ' ' .. ids[i]
end
for key, i in pairs(succeeding) do
  held[#held + 1] = '\n' .. key
  held[#held + 1] = held_until[i] .. ' ' .. asked_due(placements[i]) .. ' ' .. ids[i]
  -- who has a successor has the key until it ends, or two would run at once
  held[#held + 1] = key
  held[#held + 1] = '- ' .. awaited[key]
  -- no score is read to show a task, so its run record says when it is due
  call('HSET', KEYS[PROGRESS], ids[i], '0 0 0 0 ' .. NEVER .. ' - - - - -|')
end
delete_fields(KEYS[UNIQUE], obsolete)
if #held > 0 then
  call('HSET', KEYS[UNIQUE], unpack(held))
end
if starts_group or (#pending > 0 and idle == 0)
  or (#scheduled > 0 and is_lowest_score(KEYS[SCHEDULED], first)) then
  wake_workers(0)
end

-- Put those that have come one by one into a block, once the last of its numbers is given. Not while
-- few wait: then they are soon claimed. Not where one with such a number cannot be in a block: it
-- belongs between the others.
local complete = math.floor((sequence + #ids + 1) / SPAN)
if makes_blocks and complete > 1 and not packs and idle >= MANY and #pending > 0
  and complete > math.floor((sequence + 1) / SPAN) then
  pack_latest(pending[#pending], (complete - 1) * SPAN)
end
reply = table.concat(reply, ' ')
remember_reply(reply)
return reply
