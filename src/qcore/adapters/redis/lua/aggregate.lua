-- Put one task in the place of members of a group, all at once. In front of it stands enqueue.lua, as
-- the function `enqueue`.
--
-- ARGV[3]: the group. ARGV[4]: how many members; then their ids; then what enqueue.lua is told, from
-- its ARGV[3] on.
-- Answer: "stale", and nothing was written, if they do not all wait there; else that of enqueue.lua.

local before = answered()
if before then
  return before
end
local _, trouble = version_of(0)
trouble = trouble or misused(0, ALL)
if trouble then
  return trouble
end

local number = tonumber(ARGV[4])
local function members()
  local ids, waiting, uniques = {}, {}, {}
  local values = call('HMGET', KEYS[TASKS], unpack(ARGV, 5, 4 + number))
  for i = 1, number do
    local id, value = ARGV[4 + i], values[i]
    local due = value and call('ZSCORE', KEYS[AGGREGATING], id)
    if due then
      local _, _, group, unique = facts(value)
      local member = member_of(group, due, id)
      if sub(member, 1, #ARGV[3] + 1) == ARGV[3] .. '\1' then
        ids[#ids + 1], waiting[#waiting + 1], uniques[#uniques + 1] = id, member, unique
      end
    end
  end
  return ids, waiting, uniques
end

local answer = 'stale'
if number > 0 and #members() == number then
  answer = enqueue(KEYS, { '0', ARGV[2], unpack(ARGV, 5 + number) })
  if type(answer) == 'table' then
    return answer
  end
  if answer == '' then
    -- one of them may have given way to the task, and perhaps its id
    local ids, waiting, uniques = members()
    take_out(KEYS[AGGREGATING], ids)
    take_out(KEYS[GROUPS], waiting)
    erase(KEYS[TASKS], ids)
    erase(KEYS[PROGRESS], ids)
    drop_details(0, ids)
    let_go(0, uniques, ids)
  end
end
remember(answer)
return answer
