-- Read what has ended in some periods of queues. Most queues have nothing in most minutes: what is
-- not there takes no part of the reply.
--
-- KEYS: the hashes of the periods. Reply: for each of them that is there its number among them, from
-- 0, and all of its fields and values.

local AT_ONCE = 20

local reply = {}
for first = 1, #KEYS, AT_ONCE do
  local last = math.min(first + AT_ONCE - 1, #KEYS)
  -- one call for many that are not there, in place of one for each
  local is_there = redis.call('EXISTS', unpack(KEYS, first, last)) > 0
  for i = first, is_there and last or 0 do
    local found = redis.pcall('HGETALL', KEYS[i])
    if found.err then
      local kind = redis.call('TYPE', KEYS[i]).ok
      return redis.error_reply('QCORE FOREIGN ' .. KEYS[i] .. ' ' .. kind)
    end
    if #found > 0 then
      reply[#reply + 1] = i - 1
      reply[#reply + 1] = found
    end
  end
end
return reply
