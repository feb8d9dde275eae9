-- Statistics: two more keys for each queue stand behind those of all queues, hashes of the minute and
-- of the day of `now` (keys.py says what is in them).
local PERIODS, MAX_NAMES = 2, 100
-- A minute is kept for three hours, and a day for 90 days, from their ends; and some more, as clocks
-- differ.
local KEPT_MS = { 11100000, 7948800000 }

local function statistics_key(base, period)
  local queues = #KEYS / (WIDTH + PERIODS)
  return KEYS[queues * WIDTH + PERIODS * base / WIDTH + period]
end

-- Find the numbers of the names of some rows in both hashes. A row is a table: a name, then fields
-- and what is to be added to each. Return for each hash how many names it has, and their numbers;
-- or false and the error to reply with, if one of the keys has another type.
local function find_names(base, rows)
  local names, found = { '' }, {}
  for i, row in ipairs(rows) do
    names[i + 1] = '#' .. row[1]
  end
  for period = 1, PERIODS do
    local key = statistics_key(base, period)
    found[period] = redis.pcall('HMGET', key, unpack(names))
    if found[period].err then
      return false, wrong_type(key)
    end
  end
  return found
end

-- Add rows whose names were found. Names beyond those that may have numbers of their own share 0.
local function add_statistics(base, rows, found)
  for period = 1, PERIODS do
    local key, names = statistics_key(base, period), found[period]
    local known = tonumber(names[1]) or 0
    for i, row in ipairs(rows) do
      local number = names[i + 1]
      if not number and known < MAX_NAMES then
        known = known + 1
        number = known
        call('HSET', key, '#' .. row[1], number, '', known)
      end
      for at = 2, #row, 2 do
        -- a number that somebody has edited into something else is left as it is
        redis.pcall('HINCRBY', key, (number or '0') .. row[at], row[at + 1])
      end
    end
    if not names[1] then
      call('PEXPIRE', key, KEPT_MS[period])
    end
  end
end
