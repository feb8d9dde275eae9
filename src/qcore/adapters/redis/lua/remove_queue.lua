-- Remove a queue that has neither tasks nor entries.
--
-- KEYS: those of the queue, then those of its entries, then those of all statistics that it may
-- have.
-- ARGV[3]: the number that every token given from now on is greater than.
-- Reply: how many tasks it has, and how many entries; if there are any, nothing was removed.
--
-- What is left then is META, and perhaps what somebody has added by hand. A key whose time to live
-- is over is gone at once, and no command but those of the other scripts is needed.

local version, problem, _, _, packed = read_version(0)
problem = problem or version and check_types(0, ALL_KEYS) or check_entry_types(WIDTH)
if problem then
  return problem
end

local tasks, entries = 0, call('ZCARD', KEYS[WIDTH + ENTRY_IDS])
if version then
  for key = SCHEDULED, DEAD do
    tasks = tasks + call('ZCARD', KEYS[key])
  end
  tasks = tasks + call('ZCARD', KEYS[PENDING]) + packed
end
if tasks + entries > 0 then
  return { tasks, entries }
end

for key = 1, ENTRY_WIDTH do
  call('PEXPIRE', KEYS[WIDTH + key], 0)
end
if version then
  local token = tonumber(call('HGET', KEYS[META], 'token') or 0) or 0
  local is_passed = token <= tonumber(ARGV[3])
  for key = 1, #KEYS do
    if key ~= SESSION and (key ~= META or is_passed) then
      call('PEXPIRE', KEYS[key], 0)
    end
  end
  if not is_passed then
    -- the clock has not passed the last token: a queue of this name must not give it again
    call('HDEL', KEYS[META], 'sequence', 'large', 'limits', 'packed')
  end
end
return { 0, 0 }
