-- Move tasks of one queue from one place to another, each if it still is what the caller takes it
-- for.
--
-- ARGV[3]: how many active tasks are gone, and that is all. ARGV[4]: how many others are moved. Then
-- the ids, of both; the tokens of those that are gone; and for each of the others how it is guarded:
--   "t", token, change: an active task with this token;
--   "l", line, record (empty for none), key, member, score (empty for any), change: a
--     task that is in this sorted set;
--   "v", value, and then as for "l": the same, of one that is this very value;
-- and where there is a change, what it is: the number of places it leaves, then each as key and
-- member; the number of those it enters, then each as key, score and member; its new record, empty
-- for none, "x" to forget the task; its new place and facts, empty for those it has; what Lua never
-- reads of it, with the bar, empty for what it has; an error to be added to its own, empty for none.
-- Keys are numbers of the names in common.lua; a unique key is a place that its task leaves when it
-- ends.
-- Answer: nothing if all were moved; else for each "1" if it was, "0" if it is not what the caller
-- took it for.

local before = answered()
if before then
  return before
end
local _, trouble, limits = version_of(0)
if trouble then
  return trouble
end

local leaves, moves = tonumber(ARGV[3]), tonumber(ARGV[4])
local number = leaves + moves
local at = 5 + number + leaves
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 5, 4 + number))
local answer = {}
local gone, leaving, entering = {}, {}, {}
local forgotten, unrecorded, recorded, renewed = {}, {}, {}, {}
local uniques, holders, faulty = {}, {}, {}

local function word()
  at = at + 1
  return ARGV[at - 1]
end

-- Say whether a task is where and what the caller saw.
local function is_as_seen(id, record, whole)
  local line, seen, key, member, score = word(), word(), tonumber(word()), word(), word()
  local value = call('HGET', KEYS[TASKS], id)
  local now = call('ZSCORE', KEYS[key], member)
  return value and now and (not whole or value == whole) and (record or '') == seen
    and sub(value, 1, rest_of(value) - 1) == line and (score == '' or now == score)
end

local function into(lists, key, ...)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  for _, each in ipairs({ ... }) do
    list[#list + 1] = each
  end
end

-- Read a change, and take note of it if it is to be made.
local function change(id, made)
  for _ = 1, tonumber(word()) do
    local key, member = tonumber(word()), word()
    if made and key == UNIQUE then
      uniques[#uniques + 1] = member
      holders[#holders + 1] = id
    elseif made then
      into(leaving, key, member)
    end
  end
  for _ = 1, tonumber(word()) do
    local key, score, member = tonumber(word()), word(), word()
    if made then
      into(entering, key, score, member)
    end
  end
  local record, head, body, fault = word(), word(), word(), word()
  if not made then
    return
  end
  if record == 'x' then
    forgotten[#forgotten + 1] = id
  elseif record == '' then
    unrecorded[#unrecorded + 1] = id
  else
    recorded[#recorded + 1] = id
    recorded[#recorded + 1] = record
  end
  if body ~= '' then
    renewed[#renewed + 1] = id
    renewed[#renewed + 1] = head .. body
  elseif head ~= '' then
    local value = call('HGET', KEYS[TASKS], id)
    renewed[#renewed + 1] = id
    renewed[#renewed + 1] = head .. sub(value, (string.find(value, '|', 1, true) or 0) + 1)
  end
  if fault ~= '' then
    faulty[#faulty + 1] = { id, fault }
  end
end

local all = true

for i = 1, leaves do
  local token = ARGV[4 + number + i]
  local made = records[i] == token or holds(records[i], token)
  answer[i] = made and '1' or '0'
  if made then
    gone[#gone + 1] = ARGV[4 + i]
  else
    all = false
  end
end
for i = leaves + 1, number do
  local id, record = ARGV[4 + i], records[i]
  local made
  local guard = word()
  if guard == 't' then
    made = holds(record, word())
  else
    made = is_as_seen(id, record, guard == 'v' and word())
  end
  change(id, made)
  answer[i] = made and '1' or '0'
  all = all and made
end

-- most queues have none of it
local has_details = call('EXISTS', KEYS[DETAILS]) == 1
local written = { TASKS, has_details and DETAILS or nil }
for key in pairs(leaving) do
  written[#written + 1] = key
end
for key in pairs(entering) do
  written[#written + 1] = key
end
trouble = misused(0, written)
if trouble then
  return trouble
end

take_out(KEYS[ACTIVE], gone)
erase(KEYS[TASKS], gone)
erase(KEYS[PROGRESS], gone)
if has_details then
  drop_details(0, gone)
end
for key, members in pairs(leaving) do
  take_out(KEYS[key], members)
end
erase(KEYS[TASKS], forgotten)
erase(KEYS[PROGRESS], forgotten)
if has_details then
  drop_details(0, forgotten)
end
erase(KEYS[PROGRESS], unrecorded)
let_go(0, uniques, holders)
for key, members in pairs(entering) do
  add(KEYS[key], members)
end
if #recorded > 0 then
  call('HSET', KEYS[PROGRESS], unpack(recorded))
end
if #renewed > 0 then
  call('HSET', KEYS[TASKS], unpack(renewed))
end

-- Add an error to those of a task, of which the last ten are kept.
local function add_error(id, fault)
  local kept = call('HGET', KEYS[DETAILS], 'e' .. id)
  local errors, start = {}, 1
  while kept and start <= #kept do
    local _, stop, size = string.find(kept, '^(%d+) ', start)
    if not stop or stop + size > #kept then
      -- what somebody has written there hides nothing that comes after it
      break
    end
    errors[#errors + 1] = sub(kept, start, stop + size)
    start = stop + size + 1
  end
  errors[#errors + 1] = #fault .. ' ' .. fault
  call('HSET', KEYS[DETAILS], 'e' .. id, table.concat(errors, '', math.max(1, #errors - 9)))
end

for _, each in ipairs(faulty) do
  add_error(each[1], each[2])
end

local ended = {}
for _, key in ipairs({ COMPLETED, ARCHIVED, DEAD }) do
  local entered = entering[key] or {}
  for i = 2, #entered, 2 do
    ended[#ended + 1] = entered[i]
  end
end
tell_news(0, ended)

-- Say whether there is room now where as many were active as may be.
local function makes_room()
  local held = (#gone > 0 or leaving[ACTIVE]) and limits_in(limits)
  return held and held.in_flight
end

local function brings_news(key)
  local entered = entering[key]
  if not entered then
    return false
  elseif key == PENDING then
    return call('ZCARD', KEYS[PENDING]) == #entered / 2
  end
  for i = 1, #entered, 2 do
    if is_next(KEYS[key], entered[i]) then
      return true
    end
  end
end

if brings_news(PENDING) or brings_news(SCHEDULED) or brings_news(RETRY) or makes_room() then
  wake(0)
end
answer = all and '' or table.concat(answer)
remember(answer)
return answer
