-- Find out which commands this user may not call, before a script that writes finds out half way.
--
-- KEYS: a hash, a sorted set and a string that no queue has; nothing is left in them. ARGV[3]: a
-- channel that nobody subscribes to.
-- Reply: each command that was refused, and the error.

local hash, sorted, text = KEYS[1], KEYS[2], KEYS[3]
local refused = {}

local function try(command, ...)
  local reply = redis.pcall(command, ...)
  local message = type(reply) == 'table' and reply.err or ''
  local allowed = not (string.find(message, 'NOPERM', 1, true)
    or string.find(message, 'permission', 1, true) or string.find(message, "can't", 1, true))
  if not allowed then
    refused[#refused + 1] = command
    refused[#refused + 1] = message
  end
  return allowed
end

if try('HDEL', hash, 'a') then
  try('HSET', hash, 'a', '1')
  try('HINCRBY', hash, 'a', 1)
  try('HDEL', hash, 'a')
end
try('HGET', hash, 'a')
try('HMGET', hash, 'a')
try('HGETALL', hash)
try('HLEN', hash)
try('HSTRLEN', hash, 'a')
if try('ZREM', sorted, 'a') then
  try('ZADD', sorted, 0, 'a')
  try('ZREM', sorted, 'a')
end
try('ZREMRANGEBYRANK', sorted, 0, 0)
try('ZCARD', sorted)
try('ZSCORE', sorted, 'a')
try('ZRANK', sorted, 'a')
try('ZREVRANK', sorted, 'a')
try('ZRANGE', sorted, 0, 0)
try('ZREVRANGE', sorted, 0, 0)
try('ZRANGEBYSCORE', sorted, 0, 0)
try('ZRANGEBYLEX', sorted, '-', '+')
try('ZREVRANGEBYLEX', sorted, '+', '-')
try('ZLEXCOUNT', sorted, '-', '+')
try('SET', text, '', 'XX', 'PX', 1)
try('GET', text)
try('PEXPIRE', text, 1)
try('EXISTS', text)
try('TYPE', text)
try('PUBLISH', ARGV[3], '')
return refused
