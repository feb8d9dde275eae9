-- Set one of the limits of a queue, which is created if it does not exist.
--
-- ARGV[3]: "rate", then a count and seconds, both "-" for no limit, and now; "in_flight", then a
-- number, "-" for no limit; or "paused", then "1" or "0".
-- Reply: the limits that then hold, as META has them.
-- Errors: QCORE FOREIGN where a key of a queue to be created exists.

local version, problem, text = read_version(0)
if problem then
  return problem
end
if not version then
  problem = check_unused(0)
  if problem then
    return problem
  end
  call('HSET', KEYS[META], 'version', VERSION)
end

local limits = parse_limits(text) or { full = 0 }
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
local reply = write_limits(0, limits)
wake_workers(0)
return reply
