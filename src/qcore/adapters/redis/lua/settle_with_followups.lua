-- End one lease, and store the tasks that are to follow, in one step. In front of it stand transition.lua
-- and enqueue.lua, as the functions `transition` and `enqueue`.
--
-- KEYS: those of the task's queue, then those of other queues.
-- ARGV[3]: how many words transition.lua is told, from its ARGV[3] on; then they. Then for each queue that
-- something follows in: its number from 0, how many words enqueue.lua is told, and they.
-- Answer: that of transition.lua; nothing follows a move that was not made.

local before = answered()
if before then
  return before
end

local at = 3
local function words()
  local number = tonumber(ARGV[at])
  local found = { '0', ARGV[2], unpack(ARGV, at + 1, at + number) }
  at = at + number + 1
  return found
end

local verdict, followers = words(), {}
while at <= #ARGV do
  local base = tonumber(ARGV[at]) * WIDTH
  at = at + 1
  -- found before anything is written: what cannot be followed has not ended
  local version, trouble = version_of(base)
  trouble = trouble or misused(base, ALL) or not version and occupied(base)
  if trouble then
    return trouble
  end
  followers[#followers + 1] = { { unpack(KEYS, base + 1, base + WIDTH) }, words() }
end

local answer = transition(KEYS, verdict)
if type(answer) == 'table' then
  return answer
end
if answer == '' then
  for _, follower in ipairs(followers) do
    local refused = enqueue(follower[1], follower[2])
    if type(refused) == 'table' then
      return refused
    end
  end
end
remember(answer)
return answer
