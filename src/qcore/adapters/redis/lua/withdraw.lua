-- Remove a worker.
--
-- KEYS: as of announce.lua. ARGV[3]: the id.

redis.call('ZREM', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[3])
return 0
