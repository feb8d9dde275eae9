-- End one lease and enqueue the follow-up tasks, in one step. transition.lua and enqueue.lua stand
-- in front, as the functions `transition` and `enqueue`.
--
-- KEYS: those of the task's queue, then those of other queues.
-- ARGV[3]: the number of arguments of transition.lua, from its ARGV[3] on; then they. Then for each
-- queue with follow-ups: its index among KEYS, from 0; the number of arguments of enqueue.lua; and
-- they.
-- Reply: that of transition.lua; nothing is enqueued unless the lease was ended.

local earlier = earlier_reply()
if earlier then
  return earlier
end

local at = 3
local function arguments()
  local number = tonumber(ARGV[at])
  local found = { '0', ARGV[2], unpack(ARGV, at + 1, at + number) }
  at = at + number + 1
  return found
end

local verdict, followups = arguments(), {}
while at <= #ARGV do
  local base = tonumber(ARGV[at]) * WIDTH
  at = at + 1
  -- checked before the first write: a task whose follow-ups cannot be stored has not ended
  local version, problem = read_version(base)
  problem = problem or check_types(base, ALL_KEYS) or not version and check_unused(base)
  if problem then
    return problem
  end
  followups[#followups + 1] = { { unpack(KEYS, base + 1, base + WIDTH) }, arguments() }
end

local reply = transition(KEYS, verdict)
if type(reply) == 'table' then
  return reply
end
if reply == '' then
  for _, followup in ipairs(followups) do
    local refused = enqueue(followup[1], followup[2])
    if type(refused) == 'table' then
      return refused
    end
  end
end
remember_reply(reply)
return reply
