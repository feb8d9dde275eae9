-- Transition tasks of one queue: write what Python has decided, each if its guard holds, that is,
-- if the task still is what Python took it for.
--
-- ARGV[3]: how many active tasks are just deleted. ARGV[4]: how many others are changed. ARGV[5]: the
-- tokens of those deleted, with a blank between, as an argument for each would cost the server more
-- than all else of it here. Then the ids, of both; and for each of the others its guard and its change.
-- A guard is one of
--   "t", token: an active task with this token;
--   "s", sequence, run record (empty for none), key, member, score (empty for any): a task that is
--     in this sorted set with this sequence and record;
--   "v", value, and then as for "s": the same, of a task with this very value.
-- A change is: the number of sorted sets it leaves, then key and member of each; the number of
-- those it enters, then key, score and member of each; its new run record, empty for none, "x" to
-- delete the task; its new sequence and metadata, with the bar, empty to keep them; its new
-- options, empty to keep them; and an error to append to its history, empty for none. Keys are
-- numbers as in lib/keys.lua. A unique key counts as a sorted set that its task leaves when it
-- ends. Behind the changes, if there are any, is a record for the audit trails of their tasks, empty
-- for none. Behind all of that is what these tasks add to the statistics, if they do: how many names;
-- and for each the name, how many numbers, and field and number of each.
-- Reply: nothing if all guards held; else for each task "1" if its guard held, "0" if it did not. With
-- statistics that is behind a "-", and nothing was written: what is to be added was for all.

local earlier = earlier_reply()
if earlier then
  return earlier
end
local _, problem, limits = read_version(0)
if problem then
  return problem
end

local deletions, changes = tonumber(ARGV[3]), tonumber(ARGV[4])
local number = deletions + changes
local at = 6 + number
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 6, 5 + number))
local reply = {}
local deleted, leaving, entering = {}, {}, {}
local dropped, unrecorded, recorded, values = {}, {}, {}, {}
local uniques, holders, errors_of, changed = {}, {}, {}, {}

local function argument()
  at = at + 1
  return ARGV[at - 1]
end

-- Read a guard of kind "s" or "v", and say whether it holds.
local function is_unchanged(id, record, expected_value)
  local sequence, expected_record = argument(), argument()
  local key, member, score = tonumber(argument()), argument(), argument()
  local value = call('HGET', KEYS[TASKS], id)
  local now = call('ZSCORE', KEYS[key], member)
  if not now and value and key == PENDING and blocks_of(0).find(id, value) then
    now = '0'
  end
  return value and now and (not expected_value or value == expected_value)
    and (record or '') == expected_record
    and sub(value, 1, end_of_sequence(value) - 1) == sequence and (score == '' or now == score)
end

local function append(lists, key, ...)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  for _, each in ipairs({ ... }) do
    list[#list + 1] = each
  end
end

-- Read a change, and collect its writes if the guard held.
local function change(id, holds)
  for _ = 1, tonumber(argument()) do
    local key, member = tonumber(argument()), argument()
    if holds and key == UNIQUE then
      uniques[#uniques + 1] = member
      holders[#holders + 1] = id
    elseif holds then
      append(leaving, key, member)
    end
  end
  for _ = 1, tonumber(argument()) do
    local key, score, member = tonumber(argument()), argument(), argument()
    if holds then
      append(entering, key, score, member)
    end
  end
  local record, head, body, fault = argument(), argument(), argument(), argument()
  if not holds then
    return
  end
  changed[#changed + 1] = id
  if record == 'x' then
    dropped[#dropped + 1] = id
  elseif record == '' then
    unrecorded[#unrecorded + 1] = id
  else
    recorded[#recorded + 1] = id
    recorded[#recorded + 1] = record
  end
  if body ~= '' then
    values[#values + 1] = id
    values[#values + 1] = head .. body
  elseif head ~= '' then
    local value = call('HGET', KEYS[TASKS], id)
    values[#values + 1] = id
    values[#values + 1] = head .. sub(value, (string.find(value, '|', 1, true) or 0) + 1)
  end
  if fault ~= '' then
    errors_of[#errors_of + 1] = { id, fault }
  end
end

local all = true

for token in string.gmatch(ARGV[5], '%S+') do
  local i = #reply + 1
  local holds = records[i] == token or has_token(records[i], token)
  reply[i] = holds and '1' or '0'
  if holds then
    deleted[#deleted + 1] = ARGV[5 + i]
  else
    all = false
  end
end
for i = deletions + 1, number do
  local id, record = ARGV[5 + i], records[i]
  local holds
  local guard = argument()
  if guard == 't' then
    holds = has_token(record, argument())
  else
    holds = is_unchanged(id, record, guard == 'v' and argument())
  end
  change(id, holds)
  reply[i] = holds and '1' or '0'
  all = all and holds
end

local audit = changes > 0 and argument() or ''
if ARGV[at] and not all then
  return '-' .. table.concat(reply)
end

-- most queues have no run details
local has_details = call('EXISTS', KEYS[DETAILS]) == 1
local written = { TASKS, (has_details or audit ~= '') and DETAILS or nil }
if #deleted > 0 then
  written[#written + 1] = ACTIVE
end
for key in pairs(leaving) do
  written[#written + 1] = key
end
for key in pairs(entering) do
  written[#written + 1] = key
end
if leaving[PENDING] or entering[PENDING] then
  written[#written + 1] = BLOCKS
end
problem = check_types(0, written)
if problem then
  return problem
end

delete_fields(KEYS[TASKS], deleted)
remove_members(KEYS[ACTIVE], deleted)
delete_fields(KEYS[PROGRESS], deleted)
if has_details then
  delete_details(0, deleted)
end
for key, members in pairs(leaving) do
  if key == PENDING then
    blocks_of(0).remove(members)
  else
    remove_members(KEYS[key], members)
  end
end
delete_fields(KEYS[TASKS], dropped)
delete_fields(KEYS[PROGRESS], dropped)
if has_details then
  delete_details(0, dropped)
end
delete_fields(KEYS[PROGRESS], unrecorded)
release_unique_keys(0, uniques, holders)
for key, members in pairs(entering) do
  for i = 2, key == PENDING and #members or 0, 2 do
    blocks_of(0).make_way(members[i - 1], members[i])
  end
  add_members(KEYS[key], members)
end
if #recorded > 0 then
  call('HSET', KEYS[PROGRESS], unpack(recorded))
end
if #values > 0 then
  call('HSET', KEYS[TASKS], unpack(values))
end

-- Append a piece, behind its length, to those that are kept, of which the last ones stay.
local function with_piece(kept, piece, most)
  local pieces, start = {}, 1
  while kept and start <= #kept do
    local _, stop, size = string.find(kept, '^(%d+) ', start)
    if not stop or stop + size > #kept then
      -- somebody has edited them: keep what could be read, and go on
      break
    end
    pieces[#pieces + 1] = sub(kept, start, stop + size)
    start = stop + size + 1
  end
  pieces[#pieces + 1] = #piece .. ' ' .. piece
  return table.concat(pieces, '', math.max(1, #pieces - most + 1))
end

for _, each in ipairs(errors_of) do
  local field = 'e' .. each[1]
  local kept = call('HGET', KEYS[DETAILS], field)
  call('HSET', KEYS[DETAILS], field, with_piece(kept, each[2], 10))
end

-- Append a record to the audit trails of tasks: they are many, so with one call for all.
local function append_audit(ids)
  local fields, words = {}, {}
  for i, id in ipairs(ids) do
    fields[i] = 'a' .. id
  end
  local kept = has_details and call('HMGET', KEYS[DETAILS], unpack(fields)) or {}
  for i, field in ipairs(fields) do
    words[2 * i - 1], words[2 * i] = field, with_piece(kept[i], audit, 20)
  end
  call('HSET', KEYS[DETAILS], unpack(words))
end

if audit ~= '' and #changed > 0 then
  append_audit(changed)
end

add_statistics(0, ARGV, at)

local ended = {}
for _, key in ipairs({ COMPLETED, ARCHIVED, DEAD }) do
  local entered = entering[key] or {}
  for i = 2, #entered, 2 do
    ended[#ended + 1] = entered[i]
  end
end
publish_changes(0, ended)

-- Say whether a task may start now because one of as many as may be active has ended.
local function frees_a_slot()
  local held = (#deleted > 0 or leaving[ACTIVE]) and parse_limits(limits)
  return held and held.in_flight
end

local function wakes_workers(key)
  local entered = entering[key]
  if not entered then
    return false
  elseif key == PENDING then
    return call('ZCARD', KEYS[PENDING]) == #entered / 2
  end
  for i = 1, #entered, 2 do
    if is_lowest_score(KEYS[key], entered[i]) then
      return true
    end
  end
end

if wakes_workers(PENDING) or wakes_workers(SCHEDULED) or wakes_workers(RETRY) or frees_a_slot() then
  wake_workers(0)
end
reply = all and '' or table.concat(reply)
remember_reply(reply)
return reply
