-- Read the limits of some queues.
--
-- Reply: for each queue its limits as META has them, nil where nothing limits it.

local reply = {}
for base = 0, #KEYS - WIDTH, WIDTH do
  local _, problem, text = read_version(base)
  if problem then
    return problem
  end
  reply[base / WIDTH + 1] = text or false
end
return reply
