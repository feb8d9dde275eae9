-- Return the limits of a queue from the text in META, nil where nothing limits it.
local function parse_limits(text)
  if not text then
    return
  end
  local count, per, full, in_flight, paused = string.match(text, '^(%S+) (%S+) (%S+) (%S+) ([01])$')
  if not count then
    return
  end
  return {
    count = tonumber(count),
    per = tonumber(per),
    full = tonumber(full),
    in_flight = tonumber(in_flight),
    is_paused = paused == '1',
  }
end

local function write_limits(base, limits)
  if not (limits.count or limits.in_flight or limits.is_paused) then
    call('HDEL', KEYS[base + META], 'limits')
    return '- - 0 - 0'
  end
  local text = format('%s %s %.17g %s %d',
    limits.count and format('%.0f', limits.count) or '-',
    limits.count and format('%.17g', limits.per) or '-',
    limits.full,
    limits.in_flight and format('%.0f', limits.in_flight) or '-',
    limits.is_paused and 1 or 0)
  call('HSET', KEYS[base + META], 'limits', text)
  return text
end
