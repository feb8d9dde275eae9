-- Renew leases of one queue.
--
-- ARGV[3]: their new end. ARGV[4]: their number; then the ids, then the tokens.
-- Answer: for each "1" if it was renewed, "0" if it is lost.

local _, trouble = version_of(0)
if trouble then
  return trouble
end

local number = tonumber(ARGV[4])
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 5, 4 + number))
local answer, ids, active = {}, {}, {}
for i = 1, number do
  local kept = holds(records[i], ARGV[4 + number + i])
  answer[i] = kept and '1' or '0'
  if kept then
    ids[#ids + 1] = ARGV[4 + i]
    active[#active + 1] = ARGV[3]
    active[#active + 1] = ARGV[4 + i]
  end
end
take_out(KEYS[ACTIVE], ids)
add(KEYS[ACTIVE], active)
return table.concat(answer)
