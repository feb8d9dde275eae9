-- Statistics: three more keys for each queue stand behind those of all queues, hashes of the minute,
-- the hour and the day of `now` (keys.py says what is in them).
local PERIODS, MAX_NAMES = 3, 100
-- A minute is kept for three hours, an hour for two days, and a day for 90 days, from their ends; and
-- some more, as clocks differ.
local KEPT_MS = { 11100000, 178200000, 7948800000 }

-- Note that a field is the first of its kind in a hash. Names beyond those that may have fields of
-- their own share the fields without a name.
local function note_field(key, period, name, field, number)
  local found = call('HMGET', key, '', '#' .. name)
  local known = tonumber(found[1]) or 0
  if not found[2] and known < MAX_NAMES then
    call('HSET', key, '', known + 1, '#' .. name, '')
  elseif not found[2] then
    call('HDEL', key, field .. ' ' .. name)
    redis.pcall('HINCRBY', key, field, number)
  end
  if not found[1] then
    call('PEXPIRE', key, KEPT_MS[period])
  end
end

-- Add to these hashes what stands in `words` from `at` on: how many names; and for each the name, how
-- many fields, and field and number of each. That is one command for each field, whose answer tells
-- whether it was there. Where the key is somebody else's, or a number was edited into something else,
-- nothing is counted: tasks go on.
local function add_statistics(base, words, at)
  local before = #KEYS / (WIDTH + PERIODS) * WIDTH + PERIODS * base / WIDTH
  for period = 1, PERIODS do
    local key, place = KEYS[before + period], at
    for _ = 1, tonumber(words[at] or 0) do
      local name, last = words[place + 1], place + 2 + 2 * words[place + 2]
      for each = place + 3, last, 2 do
        local field, number = words[each], words[each + 1]
        local total = redis.pcall('HINCRBY', key, field .. ' ' .. name, number)
        if total == tonumber(number) then
          note_field(key, period, name, field, number)
        end
      end
      place = last
    end
  end
end
