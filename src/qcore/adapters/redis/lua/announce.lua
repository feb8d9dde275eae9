-- List a worker, and remove those that have expired.
--
-- KEYS: the ids of workers by when they expire, and what they announced. ARGV[3]: the id, when it
-- expires, the time, and what it announces.
--
-- Both keys expire with the last of the workers, by the clock of the server: nothing is left when
-- all were killed.

local index, info = KEYS[1], KEYS[2]
local id, expires, now = ARGV[3], ARGV[4], ARGV[5]

local gone = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)
-- the hash first: that fails, with nothing written, where its key holds what is not ours
if #gone > 0 then
  redis.call('HDEL', info, unpack(gone))
end
redis.call('HSET', info, id, ARGV[6])
if #gone > 0 then
  redis.call('ZREM', index, unpack(gone))
end
redis.call('ZADD', index, expires, id)
local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
local rest = string.format('%.0f', math.max(1, math.ceil((tonumber(last) - tonumber(now)) * 1000)))
redis.call('PEXPIRE', index, rest)
redis.call('PEXPIRE', info, rest)
return 0
