-- Read what has ended in some periods of queues. Most queues have nothing in most minutes: what is
-- not there takes no part of the reply.
--
-- KEYS: the hashes of the periods. Reply: for each of them that is there its number among them, from
-- 0, and all of its fields and values.

local reply = {}
for i, key in ipairs(KEYS) do
  local found = redis.pcall('HGETALL', key)
  if found.err then
    return redis.error_reply('QCORE FOREIGN ' .. key .. ' ' .. redis.call('TYPE', key).ok)
  end
  if #found > 0 then
    reply[#reply + 1] = i - 1
    reply[#reply + 1] = found
  end
end
return reply
