-- Store tasks of one queue as they were.
--
-- ARGV[3]: now. ARGV[4]: "1" if tasks are replaced that are set aside, else "0". ARGV[5]: the error
-- that these have. ARGV[6]: how many tasks. Then for each of them: its id, each once; its value
-- without the sequence; its run record, empty for none; the number of sorted sets that it enters, then
-- key, score and member of each, those of PENDING without the sequence; its unique key if it is to
-- take it or to wait for it, and until when; if it waits for the end of the one that has it: when it is
-- due by what was asked for, and its run record for that, both empty for any other; its errors, its
-- progress and its audit trail, empty for none; "1" if it has saved work, else "0"; and that.
-- Keys are numbers as in lib/keys.lua.
-- Reply: as of enqueue.lua, for each task that was refused.
-- Errors: QCORE FOREIGN where a key of a queue to be created exists.

local earlier = earlier_reply()
if earlier then
  return earlier
end
local version, problem = read_version(0)
problem = problem or check_types(0, ALL_KEYS) or not version and check_unused(0)
if problem then
  return problem
end

local now, at = ARGV[3], 7
local function argument()
  at = at + 1
  return ARGV[at - 1]
end

local function read_task()
  local task = { id = argument(), body = argument(), record = argument(), places = {} }
  for i = 1, tonumber(argument()) do
    task.places[i] = { tonumber(argument()), argument(), argument() }
  end
  task.unique, task.last, task.due, task.freed = argument(), argument(), argument(), argument()
  task.errors, task.progress, task.audit = argument(), argument(), argument()
  task.has_saved, task.saved = argument() == '1', argument()
  return task
end

-- Return whether a stored task is archived or dead with the error that is asked for.
local function gives_way(id, state)
  if ARGV[4] == '0' or (state ~= ARCHIVED and state ~= DEAD) then
    return false
  end
  local record = call('HGET', KEYS[PROGRESS], id) or ''
  local size, texts =
    string.match(record, '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) [^ |]+ [^ |]+|(.*)$')
  return size ~= nil and sub(texts, 1, tonumber(size)) == ARGV[5]
end

local reply = {}
local function refuse(i, state, holder)
  reply[#reply + 1] = i - 1
  reply[#reply + 1] = holder and state .. ':' .. hexadecimal(holder) or state
end

-- Decide on the unique key of a task. Return whether it has to stay out, and who has the key.
local function take_key(i, task)
  if task.unique == '' then
    return false
  end
  local held, waiting = unpack(call('HMGET', KEYS[UNIQUE], task.unique, '\n' .. task.unique))
  local holder, state = living_holder(0, task.unique, held, now)
  if not holder then
    if task.due ~= '' then
      -- nobody has the key that it has waited for
      task.places[1][2], task.record = task.due, task.freed
    end
    if task.last == '-' or tonumber(task.last) > tonumber(now) then
      call('HSET', KEYS[UNIQUE], task.unique, task.last .. ' ' .. task.id)
    end
    return false
  end
  local _, _, id = parse_successor(waiting)
  local value = id and call('HGET', KEYS[TASKS], id)
  if task.due == '' or value and is_live(find_state(0, id, value)) then
    refuse(i, state, holder)
    return true
  end
  -- who has a successor has the key until it ends
  call('HSET', KEYS[UNIQUE], task.unique, '- ' .. holder,
    '\n' .. task.unique, task.last .. ' ' .. task.due .. ' ' .. task.id)
  return false
end

local LARGE = 4096
local sequence
local function store(task)
  sequence = (sequence or call('HINCRBY', KEYS[META], 'sequence', tonumber(ARGV[6]))
    - tonumber(ARGV[6])) + 1
  local prefix = encode_sequence(sequence)
  call('HSET', KEYS[TASKS], task.id, prefix .. task.body)
  for _, place in ipairs(task.places) do
    local key, score, member = unpack(place)
    call('ZADD', KEYS[key], score, key == PENDING and prefix .. member or member)
  end
  if task.record ~= '' then
    call('HSET', KEYS[PROGRESS], task.id, task.record)
  end
  if task.errors ~= '' then
    call('HSET', KEYS[DETAILS], 'e' .. task.id, task.errors)
  end
  if task.progress ~= '' then
    call('HSET', KEYS[DETAILS], 'p' .. task.id, task.progress)
  end
  if task.audit ~= '' then
    call('HSET', KEYS[DETAILS], 'a' .. task.id, task.audit)
  end
  if task.has_saved then
    call('HSET', KEYS[DETAILS], 's' .. task.id, task.saved)
  end
  if #task.body > LARGE then
    -- from now on a claim reads sizes before it reads values
    call('HSET', KEYS[META], 'large', 1)
  end
end

if not version then
  call('HSET', KEYS[META], 'version', VERSION)
end
local can_run = false
for i = 1, tonumber(ARGV[6]) do
  local task = read_task()
  local value = call('HGET', KEYS[TASKS], task.id)
  local state = value and find_state(0, task.id, value)
  if state and not gives_way(task.id, state) then
    refuse(i, state)
  elseif not take_key(i, task) then
    if state then
      remove_members(KEYS[state], { task.id })
    end
    -- also of a value in no state, as somebody has edited what is stored
    call('HDEL', KEYS[PROGRESS], task.id)
    delete_details(0, { task.id })
    store(task)
    can_run = can_run or is_live(task.places[1][1])
  end
end
if can_run then
  wake_workers(0)
end
reply = table.concat(reply, ' ')
remember_reply(reply)
return reply
