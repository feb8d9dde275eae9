-- Return a number, nil for a text that is none or an endless one.
local function finite(text)
  local number = tonumber(text)
  return number and number > -1e15 and number < 1e15 and number or nil
end

-- Return the limits of a queue from the text in META, nil where nothing limits it, or what stands
-- there was edited into something else.
local function parse_limits(text)
  if not text then
    return
  end
  local count, per, full, in_flight, paused = string.match(text, '^(%S+) (%S+) (%S+) (%S+) ([01])$')
  full = finite(full)
  if not full then
    return
  end
  local limits = { full = full, in_flight = finite(in_flight), is_paused = paused == '1' }
  count, per = finite(count), finite(per)
  if count and per and count >= 1 and per > 0 then
    limits.count, limits.per = count, per
  end
  return limits
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
