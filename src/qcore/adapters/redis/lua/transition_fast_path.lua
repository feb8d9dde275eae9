-- The fast path of transition.lua: delete active tasks in their first attempt, all of them still held,
-- in a queue without limits and run details. That is what follows on most successes. Any other request
-- goes on to transition.lua behind it, of which nothing is created before: creating its functions
-- takes longer than all of this for one task.
--
-- KEYS, ARGV and reply are those of transition.lua, and so is the effect: a test compares the two.

if ARGV[1] == '0' and ARGV[4] == '0' then
  local pcall, number = redis.pcall, tonumber(ARGV[3])
  local known = pcall('HMGET', KEYS[META], 'version', 'limits', 'sequence')
  local records = pcall('HMGET', KEYS[PROGRESS], unpack(ARGV, 5, 4 + number))
  local sequence = known[3]
  local holds = (known[1] == '1' or known[1] == '2') and not known[2]
    and (not sequence or #sequence < 17 and string.match(sequence, '^%d+$'))
    and call('EXISTS', KEYS[DETAILS]) == 0 and type(pcall('ZCARD', KEYS[ACTIVE])) == 'number'
  for i = 1, number do
    holds = holds and records[i] == ARGV[4 + number + i]
  end
  -- where the key has another type, nothing is written yet
  if holds and type(pcall('HDEL', KEYS[TASKS], unpack(ARGV, 5, 4 + number))) == 'number' then
    call('ZREM', KEYS[ACTIVE], unpack(ARGV, 5, 4 + number))
    call('HDEL', KEYS[PROGRESS], unpack(ARGV, 5, 4 + number))
    add_statistics(0, ARGV, 5 + 2 * number)
    call('SET', KEYS[SESSION], ARGV[2] .. ' ', 'PX', 60000)
    return ''
  end
end
