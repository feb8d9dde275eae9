-- Renew leases of tasks of one queue.
--
-- ARGV[3]: their new end. ARGV[4]: how many; then the ids, then the tokens.
-- Reply: for each "1" if it was renewed, "0" if it is lost.

local _, problem = read_version(0)
if problem then
  return problem
end

local number = tonumber(ARGV[4])
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 5, 4 + number))
local reply, ids, active = {}, {}, {}
for i = 1, number do
  local is_held = has_token(records[i], ARGV[4 + number + i])
  reply[i] = is_held and '1' or '0'
  if is_held then
    ids[#ids + 1] = ARGV[4 + i]
    active[#active + 1] = ARGV[3]
    active[#active + 1] = ARGV[4 + i]
  end
end
remove_members(KEYS[ACTIVE], ids)
add_members(KEYS[ACTIVE], active)
return table.concat(reply)
