-- Find the next moment that a task of some queues waits for.
--
-- Answer: the moment as text, nil where no task waits.

local looked = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, trouble = version_of(base)
  if trouble then
    return trouble
  end
  looked[#looked + 1] = KEYS[base + SCHEDULED]
  looked[#looked + 1] = KEYS[base + RETRY]
end
if call('EXISTS', unpack(looked)) == 0 then
  return false
end
local answer = false
for _, key in ipairs(looked) do
  local first = earliest(key)
  if first and (not answer or tonumber(first) < tonumber(answer)) then
    answer = first
  end
end
return answer
