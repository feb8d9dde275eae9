-- The fast path of enqueue.lua: store one task with default metadata, pending at once, in a queue
-- that exists, whatever its payload of up to 4,096 bytes. That is most of what is enqueued one by
-- one. Any other request goes on to enqueue.lua behind it, of which nothing is created before:
-- creating its functions takes as long as all of this.
--
-- KEYS, ARGV and reply are those of enqueue.lua, and so is the effect: a test compares the two.

if ARGV[1] == '0' and #ARGV == 7 and ARGV[7] == '' then
  local call, pcall = redis.call, redis.pcall
  local version = pcall('HGET', KEYS[1], 'version')
  local idle = pcall('ZCARD', KEYS[3])
  local body = ARGV[6]
  local types_fit = #KEYS == 5
    or type(pcall('ZCARD', KEYS[6])) == 'number' and type(pcall('ZCARD', KEYS[8])) == 'number'
    and type(pcall('ZCARD', KEYS[14])) == 'number' and type(pcall('ZCARD', KEYS[18])) == 'number'
  if (version == '1' or version == '2') and type(idle) == 'number' and types_fit
    and string.byte(body) == 124 and #body <= 4096 then
    local number = not call('HGET', KEYS[2], ARGV[5]) and pcall('HINCRBY', KEYS[1], 'sequence', 1)
    if version == '2' and idle >= 128 and type(number) == 'number' and number % 64 == 63 then
      -- it is the last of SPAN, whose tasks go into a block: enqueue.lua gives it once more
      call('HINCRBY', KEYS[1], 'sequence', -1)
    elseif type(number) == 'number' and number > 0 and number < 1e16 then
      local digits = string.format('%x', number)
      local sequence = string.char(96 + #digits) .. digits
      call('HSET', KEYS[2], ARGV[5], sequence .. body)
      call('ZADD', KEYS[3], '0', sequence .. ARGV[5])
      if idle == 0 then
        call('PUBLISH', string.sub(KEYS[1], 1, -5) .. 'wake', '')
      end
      call('SET', KEYS[4], ARGV[2] .. ' ', 'PX', 60000)
      return ''
    end
  end
end

