-- List tasks that wait in a group of one queue, in the order of their due moments.
--
-- ARGV[3]: the group. ARGV[4]: how many. ARGV[5]: the member to start after, empty for the first
-- page.
-- Reply: for each its member, id, value and run record (nil for none).

local _, problem = read_version(0)
if problem then
  return problem
end
problem = check_types(0, { GROUPS })
if problem then
  return problem
end

local least = ARGV[5] == '' and '[' .. ARGV[3] .. '\1' or '(' .. ARGV[5]
local found =
  call('ZRANGEBYLEX', KEYS[GROUPS], least, '(' .. ARGV[3] .. '\2', 'LIMIT', 0, ARGV[4])
local ids, reply = {}, {}
for i, member in ipairs(found) do
  ids[i] = sub(member, #ARGV[3] + 26)
end
if #ids == 0 then
  return reply
end
local values = call('HMGET', KEYS[TASKS], unpack(ids))
local records = call('HMGET', KEYS[PROGRESS], unpack(ids))
for i, id in ipairs(ids) do
  local at = 4 * i - 4
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = found[i], id, values[i], records[i]
end
return reply
