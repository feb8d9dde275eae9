-- List tasks of one queue that wait in a group, those due first before the others.
--
-- ARGV[3]: the group. ARGV[4]: how many. ARGV[5]: the member to go on behind, empty to begin.
-- Answer: for each its member, id, value and record (nil for none).

local _, trouble = version_of(0)
if trouble then
  return trouble
end
trouble = misused(0, { GROUPS })
if trouble then
  return trouble
end

local least = ARGV[5] == '' and '[' .. ARGV[3] .. '\1' or '(' .. ARGV[5]
local found =
  call('ZRANGEBYLEX', KEYS[GROUPS], least, '(' .. ARGV[3] .. '\2', 'LIMIT', 0, ARGV[4])
local ids, answer = {}, {}
for i, member in ipairs(found) do
  ids[i] = sub(member, #ARGV[3] + 26)
end
if #ids == 0 then
  return answer
end
local values = call('HMGET', KEYS[TASKS], unpack(ids))
local records = call('HMGET', KEYS[PROGRESS], unpack(ids))
for i, id in ipairs(ids) do
  local at = 4 * i - 4
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = found[i], id, values[i], records[i]
end
return answer
