-- Store one task that has only what is usual, to be run at once, in a queue that is there: most of
-- what is asked for one by one. Anything else is left to what follows, of which nothing is made
-- before it is needed: that takes as long as all of this.
--
-- Keys, arguments and answer are those of enqueue.lua.

if ARGV[1] == '0' and #ARGV == 7 and ARGV[7] == '' then
  local call, try = redis.call, redis.pcall
  local version = try('HGET', KEYS[1], 'version')
  local idle = try('ZCARD', KEYS[3])
  local body = ARGV[6]
  if version == '1' and type(idle) == 'number' and string.byte(body) == 124
    and #body <= 4096 then
    if not call('HGET', KEYS[2], ARGV[5]) then
      local digits = string.format('%x', call('HINCRBY', KEYS[1], 'sequence', 1))
      local line = string.char(96 + #digits) .. digits
      call('HSET', KEYS[2], ARGV[5], line .. body)
      call('ZADD', KEYS[3], '0', line .. ARGV[5])
      if idle == 0 then
        call('PUBLISH', string.sub(KEYS[1], 1, -5) .. 'wake', '')
      end
      call('SET', KEYS[4], ARGV[2] .. ' ', 'PX', 60000)
      return ''
    end
  end
end

