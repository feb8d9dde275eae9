-- Read what limits some queues.
--
-- Answer: for each queue what META has, nil where nothing limits it.

local answer = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, trouble, text = version_of(base)
  if trouble then
    return trouble
  end
  answer[base / WIDTH + 1] = text or false
end
return answer
