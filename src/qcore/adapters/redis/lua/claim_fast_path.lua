-- The fast path of claim.lua: claim the only pending task of the only queue asked for, if its
-- metadata are the defaults and nothing is scheduled or to be retried. That is most of what idle
-- workers claim, which are woken for it. Any other request goes on to claim.lua behind it, of which
-- nothing is created before: creating its functions takes as long as all of this.
--
-- KEYS, ARGV and reply are those of claim.lua, and so is the effect: a test compares the two.

if ARGV[1] == '0' and #KEYS == 21 and tonumber(ARGV[5]) > 0 then
  local call, pcall = redis.call, redis.pcall
  local pending = pcall('ZRANGE', KEYS[3], 0, 1)
  local known = #pending == 1
    and pcall('HMGET', KEYS[1], 'version', 'limits', 'large', 'token', 'sequence') or {}
  if (known[1] == '1' or known[1] == '2') and not known[2] and not known[3]
    and call('EXISTS', KEYS[5], KEYS[6], KEYS[7]) == 0 then
    local id = string.sub(pending[1], math.max(1, (string.byte(pending[1]) or 0) - 94))
    local value = pcall('HGET', KEYS[2], id)
    local record = pcall('HGET', KEYS[13], id)
    local active, dead = pcall('ZCARD', KEYS[9]), pcall('ZCARD', KEYS[12])
    local expiring = pcall('ZCARD', KEYS[14])
    local clock = call('TIME')
    if type(value) == 'string' and record == false
      and string.byte(value, math.max(1, (string.byte(value) or 0) - 94)) == 124
      -- FEW of claim.lua: one more would convert ACTIVE to a skiplist
      and type(active) == 'number' and active ~= 8
      and type(dead) == 'number' and type(expiring) == 'number'
      and (not known[4] or #known[4] < 17 and string.match(known[4], '^%d+$'))
      and (not known[5] or #known[5] < 17 and string.match(known[5], '^%d+$'))
      and clock[1] + clock[2] / 1e6 <= tonumber(ARGV[7]) then
      local earliest_token = math.floor(math.min(ARGV[3] * 1e6, 4e15))
      local before = math.max(tonumber(known[4]) or 0, earliest_token)
      local token = string.format('%.0f', before + 1)
      call('ZREMRANGEBYRANK', KEYS[3], 0, 0)
      call('HSET', KEYS[1], 'token', token)
      call('HSET', KEYS[13], id, token)
      call('ZADD', KEYS[9], ARGV[4], id)
      call('SET', KEYS[4], ARGV[2] .. ' 1 ' .. token .. ' ' .. token, 'PX', 60000)
      return { 'done', { { before, { id }, { value }, { false } } } }
    end
  end
end

