-- Read what has ended in some periods of a queue.
--
-- KEYS: the hashes of the periods. Reply: all fields and values of each.

local reply = {}
for i, key in ipairs(KEYS) do
  local found = redis.pcall('HGETALL', key)
  if found.err then
    return redis.error_reply('QCORE FOREIGN ' .. key .. ' ' .. redis.call('TYPE', key).ok)
  end
  reply[i] = found
end
return reply
