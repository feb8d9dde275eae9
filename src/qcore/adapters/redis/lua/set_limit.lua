-- Set one of the limits of a queue, which is made if it is not there.
--
-- ARGV[3]: "rate", then a count and seconds, both "-" for no limit, and this moment; "in_flight", then
-- a number, "-" for no limit; or "paused", then "1" or "0".
-- Answer: what limits it then, as META has it.
-- Errors: QCORE FOREIGN where a key that would be made is there already.

local version, trouble, text = version_of(0)
if trouble then
  return trouble
end
if not version then
  trouble = occupied(0)
  if trouble then
    return trouble
  end
  call('HSET', KEYS[META], 'version', VERSION)
end

local limits = limits_in(text) or { full = 0 }
if ARGV[3] == 'rate' then
  local count, per = tonumber(ARGV[4]), tonumber(ARGV[5])
  if count ~= limits.count or per ~= limits.per then
    limits.count, limits.per, limits.full = count, per, tonumber(ARGV[6])
  end
elseif ARGV[3] == 'in_flight' then
  limits.in_flight = tonumber(ARGV[4])
else
  limits.is_paused = ARGV[4] == '1'
end
local answer = write_limits(0, limits)
wake(0)
return answer
