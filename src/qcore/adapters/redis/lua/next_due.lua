-- Find the next moment at which a task of some queues becomes due, or is allowed by a rate limit.
--
-- Reply: the moment as text, nil where there is none.

local keys, starts = {}, {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, problem, text = read_version(base)
  if problem then
    return problem
  end
  local limits = parse_limits(text)
  if limits and limits.count and call('EXISTS', KEYS[base + PENDING]) == 1 then
    local _, start = allowed_by_limits(base, limits, math.huge)
    starts[#starts + 1] = start
  end
  keys[#keys + 1] = KEYS[base + SCHEDULED]
  keys[#keys + 1] = KEYS[base + RETRY]
end
local reply = false
for _, start in ipairs(starts) do
  if not reply or start < tonumber(reply) then
    reply = format('%.17g', start)
  end
end
if call('EXISTS', unpack(keys)) == 0 then
  return reply
end
for _, key in ipairs(keys) do
  local first = lowest_score(key)
  if first and (not reply or tonumber(first) < tonumber(reply)) then
    reply = first
  end
end
return reply
