-- Save the progress and the work of runs of one queue.
--
-- ARGV[3]: how many. Then the ids; the tokens; and for each its progress, empty to leave it; "1" if
-- it saves work, else "0"; and the work.
-- Reply: for each "1" if it was saved, "0" if its lease is lost.

local _, problem = read_version(0)
if problem then
  return problem
end
problem = check_types(0, { PROGRESS, DETAILS })
if problem then
  return problem
end

local number = tonumber(ARGV[3])
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 4, 3 + number))
local reply, fields, changed = {}, {}, {}
for i = 1, number do
  local id, at = ARGV[3 + i], 3 + 2 * number + 3 * (i - 1)
  local is_held = has_token(records[i], ARGV[3 + number + i])
  reply[i] = is_held and '1' or '0'
  if is_held and ARGV[at + 1] ~= '' then
    fields[#fields + 1] = 'p' .. id
    fields[#fields + 1] = ARGV[at + 1]
    changed[#changed + 1] = id
  end
  if is_held and ARGV[at + 2] == '1' then
    fields[#fields + 1] = 's' .. id
    fields[#fields + 1] = ARGV[at + 3]
  end
end
if #fields > 0 then
  call('HSET', KEYS[DETAILS], unpack(fields))
end
publish_changes(0, changed)
return table.concat(reply)
