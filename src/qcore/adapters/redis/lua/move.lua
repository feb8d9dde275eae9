-- Move tasks of one queue from one place to another, each if it still is what the caller takes it
-- for.
--
-- ARGV[3]: how many active tasks are gone, and that is all. ARGV[4]: how many others are moved. Then
-- the ids, of both; the tokens of those that are gone; and for each of the others how it is guarded:
--   "t", token, change: an active task with this token;
--   "l", line, record (empty for none), key, member, score (empty for any), change: a
--     task that is in this sorted set;
-- and where there is a change, what it is: the number of places it leaves, then each as key and
-- member; the number of those it enters, then each as key, score and member; its new record, empty
-- for none, "x" to forget the task; its new place and facts, empty for those it has. Keys are
-- numbers of the names in common.lua; a unique key is a place that its task leaves when it ends.
-- Answer: nothing if all were moved; else for each "1" if it was, "0" if it is not what the caller
-- took it for.

local before = answered()
if before then
  return before
end
local _, trouble = version_of(0)
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
local uniques, holders = {}, {}

local function word()
  at = at + 1
  return ARGV[at - 1]
end

-- Say whether a task is where and what the caller saw.
local function is_as_seen(id, record)
  local line, seen, key, member, score = word(), word(), tonumber(word()), word(), word()
  local value = call('HGET', KEYS[TASKS], id)
  local now = call('ZSCORE', KEYS[key], member)
  return value and now and (record or '') == seen and sub(value, 1, rest_of(value) - 1) == line
    and (score == '' or now == score)
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
  local record, head = word(), word()
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
  if head ~= '' then
    local value = call('HGET', KEYS[TASKS], id)
    renewed[#renewed + 1] = id
    renewed[#renewed + 1] = head .. sub(value, (string.find(value, '|', 1, true) or 0) + 1)
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
  if word() == 't' then
    made = holds(record, word())
  else
    made = is_as_seen(id, record)
  end
  change(id, made)
  answer[i] = made and '1' or '0'
  all = all and made
end

local written = { TASKS }
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
for key, members in pairs(leaving) do
  take_out(KEYS[key], members)
end
erase(KEYS[TASKS], forgotten)
erase(KEYS[PROGRESS], forgotten)
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

if brings_news(PENDING) or brings_news(SCHEDULED) or brings_news(RETRY) then
  wake(0)
end
answer = all and '' or table.concat(answer)
remember(answer)
return answer
