-- Put an entry in the place of what was seen of it, and enqueue tasks, in one step. enqueue.lua
-- stands in front, as the function `enqueue`.
--
-- KEYS: those of the queue, then those of its entries.
-- ARGV[3]: the id of the entry. ARGV[4]: the revision that was seen, empty for none. ARGV[5]: the
-- revision, a blank and the entry; empty to remove it. ARGV[6]: when it is to be looked at, empty for
-- never. Then the tasks, in portions: the number of arguments of enqueue.lua, from its ARGV[3] on;
-- then they.
-- Reply: "conflict" if the entry is not as it was seen, and nothing was written; else the replies of
-- enqueue.lua, each behind a line feed.

local CONFLICT = 'conflict'

local earlier = earlier_reply()
if earlier then
  return earlier
end
local version, problem = read_version(0)
problem = problem or check_entry_types(WIDTH)
if problem then
  return problem
end

local entries, ids, wakes =
  KEYS[WIDTH + ENTRIES], KEYS[WIDTH + ENTRY_IDS], KEYS[WIDTH + ENTRY_WAKES]
local id, seen, value, wake = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

-- What somebody has written by hand has no revision, and counts as one of "?" (entries.py).
local stored = call('HGET', entries, id)
if (stored and (string.match(stored, '^(%x+) ') or '?') or '') ~= seen then
  -- not remembered: revisions never come again, so who asks twice is told the same, or the truth
  return CONFLICT
end
if #ARGV > 6 then
  -- checked before the first write: an entry whose tasks cannot be stored has not changed
  problem = check_types(0, ALL_KEYS) or not version and check_unused(0)
  if problem then
    return problem
  end
end

if value == '' then
  call('HDEL', entries, id)
  call('ZREM', ids, id)
else
  call('HSET', entries, id, value)
  call('ZADD', ids, 0, id)
end
if wake == '' then
  call('ZREM', wakes, id)
else
  call('ZADD', wakes, wake, id)
end

local keys, replies, at = { unpack(KEYS, 1, WIDTH) }, '', 7
while at <= #ARGV do
  local number = tonumber(ARGV[at])
  local reply = enqueue(keys, { '0', ARGV[2], unpack(ARGV, at + 1, at + number) })
  if type(reply) == 'table' then
    return reply
  end
  replies = replies .. '\n' .. reply
  at = at + number + 1
end
remember_reply(replies)
return replies
