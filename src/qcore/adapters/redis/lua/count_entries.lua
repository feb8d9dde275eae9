-- Count the entries of some queues.
--
-- KEYS: the ids of each queue's entries.
-- Reply: how many each has; none where the key is somebody else's.

local reply = {}
for i, key in ipairs(KEYS) do
  local number = redis.pcall('ZCARD', key)
  reply[i] = type(number) == 'number' and number or 0
end
return reply
