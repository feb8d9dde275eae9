-- Find the next moment that a task of some queues waits for, or may start at by the rate that keeps
-- it.
--
-- Answer: the moment as text, nil where no task waits.

local looked, limited = {}, {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, trouble, text = version_of(base)
  if trouble then
    return trouble
  end
  local limits = limits_in(text)
  if limits and limits.count and call('EXISTS', KEYS[base + PENDING]) == 1 then
    local _, start = free(base, limits, 0)
    limited[#limited + 1] = start
  end
  looked[#looked + 1] = KEYS[base + SCHEDULED]
  looked[#looked + 1] = KEYS[base + RETRY]
end
local answer = false
for _, start in ipairs(limited) do
  if not answer or start < tonumber(answer) then
    answer = format('%.17g', start)
  end
end
if call('EXISTS', unpack(looked)) == 0 then
  return answer
end
for _, key in ipairs(looked) do
  local first = earliest(key)
  if first and (not answer or tonumber(first) < tonumber(answer)) then
    answer = first
  end
end
return answer
