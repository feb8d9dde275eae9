-- Move tasks of one queue from one place to another, each if it still is what the caller takes it
-- for.
--
-- ARGV[3]: the number of tasks; then their ids; then for each task how it is guarded:
--   "g", token: an active task with this token is gone, and that is all;
--   "t", token, change: an active task with this token;
--   "l", line, record (empty for none), key, member, score (empty for any), change: a
--     task that is in this sorted set;
-- and where there is a change, what it is: the number of places it leaves, then each as key and
-- member; the number of those it enters, then each as key, score and member; its new record, empty
-- for none, "x" to forget the task; its new place and facts, empty for those it has. Keys are
-- numbers of the names in common.lua.
-- Answer: for each task "1" if it was moved, "0" if it is not what the caller took it for.

local before = answered()
if before then
  return before
end
local _, trouble = version_of(0)
if trouble then
  return trouble
end

local number = tonumber(ARGV[3])
local at = 4 + number
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 4, 3 + number))
local answer = {}
local gone, leaving, entering = {}, {}, {}
local forgotten, unrecorded, recorded, renewed = {}, {}, {}, {}

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
    if made then
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
    renewed[#renewed + 1] = head .. sub(value, string.find(value, '|', 1, true) + 1)
  end
end

for i = 1, number do
  local id, record, guard = ARGV[3 + i], records[i], word()
  local made
  if guard == 'g' then
    made = holds(record, word())
    if made then
      gone[#gone + 1] = id
    end
  elseif guard == 't' then
    made = holds(record, word())
    change(id, made)
  else
    made = is_as_seen(id, record)
    change(id, made)
  end
  answer[i] = made and '1' or '0'
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
answer = table.concat(answer)
remember(answer)
return answer
