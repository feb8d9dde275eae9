-- Return how many tasks the limits of the queue at `base` allow to be claimed at `now`; and, where
-- only the rate limits them, when the next may start. The arithmetic (GCRA) is that of
-- domain/queue_limits.py, digit for digit. What a claim stored whose clock was ahead is undone: a
-- bucket is never emptier than empty.
local function allowed_by_limits(base, limits, now)
  if limits.is_paused then
    return 0
  end
  local left = math.huge
  if limits.in_flight then
    left = limits.in_flight - call('ZCARD', KEYS[base + ACTIVE])
  end
  if not limits.count or left <= 0 then
    return math.max(0, left)
  end
  if limits.full > now + limits.per + 1e-6 and call('EXISTS', KEYS[base + PENDING]) == 1 then
    limits.full = now + limits.per
    write_limits(base, limits)
  end
  local pace = limits.per / limits.count
  local tokens = limits.count
  if limits.full > now then
    tokens = math.max(0, math.floor((limits.per - (limits.full - now) + 1e-6) / pace))
  end
  return math.min(left, tokens), limits.full - limits.per + pace
end

-- Take note that `claimed` tasks of the queue at `base` have started at `now`.
local function spend_rate(base, limits, now, claimed)
  if limits.count and claimed > 0 then
    limits.full = math.max(limits.full, now) + claimed * (limits.per / limits.count)
    write_limits(base, limits)
  end
end
