-- Replace tasks that wait in a group by one task, in one step. enqueue.lua stands in front, as the
-- function `enqueue`.
--
-- ARGV[3]: the group. ARGV[4]: the number of tasks to be replaced; then their ids; then what
-- enqueue.lua takes from its ARGV[3] on.
-- Reply: "stale" if some of them no longer wait in the group, and nothing was written; else that of
-- enqueue.lua.

local earlier = earlier_reply()
if earlier then
  return earlier
end
local _, problem = read_version(0)
problem = problem or check_types(0, ALL_KEYS)
if problem then
  return problem
end

local number = tonumber(ARGV[4])
local function waiting_members()
  local ids, waiting, uniques = {}, {}, {}
  local values = call('HMGET', KEYS[TASKS], unpack(ARGV, 5, 4 + number))
  for i = 1, number do
    local id, value = ARGV[4 + i], values[i]
    local due = value and call('ZSCORE', KEYS[AGGREGATING], id)
    if due then
      local _, _, group, unique = task_meta(value)
      local member = group_member(group, due, id)
      if sub(member, 1, #ARGV[3] + 1) == ARGV[3] .. '\1' then
        ids[#ids + 1], waiting[#waiting + 1], uniques[#uniques + 1] = id, member, unique
      end
    end
  end
  return ids, waiting, uniques
end

local reply = 'stale'
if number > 0 and #waiting_members() == number then
  reply = enqueue(KEYS, { '0', ARGV[2], unpack(ARGV, 5 + number) })
  if type(reply) == 'table' then
    return reply
  end
  if reply == '' or reply == '0 s' then
    -- read again: the new task may have replaced one of them, and taken over its id
    local ids, waiting, uniques = waiting_members()
    remove_members(KEYS[AGGREGATING], ids)
    remove_members(KEYS[GROUPS], waiting)
    delete_fields(KEYS[TASKS], ids)
    delete_fields(KEYS[PROGRESS], ids)
    delete_details(0, ids)
    release_unique_keys(0, uniques, ids)
  end
end
remember_reply(reply)
return reply
