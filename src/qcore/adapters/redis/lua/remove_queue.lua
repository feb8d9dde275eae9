-- Remove a queue that has no tasks.
--
-- KEYS: behind those of the queue, those of all statistics that it may have.
-- ARGV[3]: the number that every token given from now on is greater than.
-- Reply: how many tasks it has; if there are any, nothing was removed.
--
-- What is left then is META, and perhaps what somebody has added by hand. A key whose time to live
-- is over is gone at once, and no command but those of the other scripts is needed.

local version, problem = read_version(0)
if problem then
  return problem
elseif not version then
  return 0
end
problem = check_types(0, ALL_KEYS)
if problem then
  return problem
end

local tasks = 0
for key = SCHEDULED, DEAD do
  tasks = tasks + call('ZCARD', KEYS[key])
end
tasks = tasks + call('ZCARD', KEYS[PENDING])
if tasks > 0 then
  return tasks
end

local token = tonumber(call('HGET', KEYS[META], 'token') or 0) or 0
local is_passed = token <= tonumber(ARGV[3])
for key = 1, #KEYS do
  if key ~= SESSION and (key ~= META or is_passed) then
    call('PEXPIRE', KEYS[key], 0)
  end
end
if not is_passed then
  -- the clock has not passed the last token: a queue of this name must not give it again
  call('HDEL', KEYS[META], 'sequence', 'large', 'limits')
end
return 0
