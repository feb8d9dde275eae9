-- Hand out the one task that waits in the one queue that is asked for, if it has only what is usual
-- and nothing else is due: most of what idle workers claim, who are woken for it. Anything else is
-- left to what follows, of which nothing is made before it is needed: that takes as long as all of
-- this.
--
-- Keys, arguments and answer are those of claim.lua.

if ARGV[1] == '0' and #KEYS == 17 and tonumber(ARGV[5]) > 0 then
  local call, try = redis.call, redis.pcall
  local known = try('HMGET', KEYS[1], 'version', 'limits', 'large', 'token')
  local line = try('ZRANGE', KEYS[3], 0, 1)
  if known[1] == '1' and not known[2] and not known[3] and #line == 1
    and call('EXISTS', KEYS[5], KEYS[6]) == 0 then
    local id = string.sub(line[1], math.max(1, (string.byte(line[1]) or 0) - 94))
    local value = try('HGET', KEYS[2], id)
    local record = try('HGET', KEYS[12], id)
    local active, dead, expiring = try('ZCARD', KEYS[8]), try('ZCARD', KEYS[11]), try('ZCARD', KEYS[13])
    local clock = call('TIME')
    if type(value) == 'string' and record == false
      and string.byte(value, math.max(1, (string.byte(value) or 0) - 94)) == 124
      -- FEW of claim.lua: where more get active, there is more to do
      and type(active) == 'number' and active ~= 8
      and type(dead) == 'number' and type(expiring) == 'number'
      and clock[1] + clock[2] / 1e6 <= tonumber(ARGV[7]) then
      local earliest = math.floor(math.min(ARGV[3] * 1e6, 4e15))
      local before = math.max(tonumber(known[4]) or 0, earliest)
      local token = string.format('%.0f', before + 1)
      call('ZREMRANGEBYRANK', KEYS[3], 0, 0)
      call('HSET', KEYS[1], 'token', token)
      call('HSET', KEYS[12], id, token)
      call('ZADD', KEYS[8], ARGV[4], id)
      call('SET', KEYS[4], ARGV[2] .. ' 1 ' .. token .. ' ' .. token, 'PX', 60000)
      return { 'done', { { before, { id }, { value }, { false } } } }
    end
  end
end

