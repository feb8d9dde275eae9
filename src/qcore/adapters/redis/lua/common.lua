-- What every move stands on; scripts.py puts it in front of each.
--
-- KEYS: seventeen for each queue, in the order of the names below, all in the queue's own slot. SESSION
-- is the caller's own: it remembers what the caller's last move answered, so that a move whose reply
-- was lost can be asked for again and is not made twice.
-- ARGV[1]: "1" if the move may have been made already, else "0". ARGV[2]: its number in the lane.
--
-- A task is its value in `tasks`: its line, the place among those of its priority; its facts ("rank
-- expires retention max_crashes grouped", and its unique key behind them if it has one; nothing
-- where all are usual; `grouped` is "0", or "1" and the name of its group, quoted as in a URL); a
-- bar; and what Lua never reads. `rank` is the priority negated. A line is a
-- number in hexadecimal behind a letter that says how many digits it has, so that lines sort as their
-- numbers do, and never come to an end. A task's state is the one sorted set that it is in: there it
-- is its id, in `pending` its line and its id.
-- What has happened to it is its record in `progress`: "token attempts rest", no record before it
-- was first claimed, and the bare token in a first attempt without facts. `unique` has, for each
-- unique key, the moment until which a task has it ("-" for as long as it lives), and the task's id.
-- `details` has what few tasks have: under "e" and the id its errors, the length of each and a blank
-- ahead of it, under "p" its progress, under "s" its saved work. `groups` has the tasks that wait in a
-- group, as its name, the byte 1, the moment they were due in 24 characters, and the id.
-- What limits a queue is in META's `limits`: "count per full in_flight paused", "-" for what does not.
--
-- A script writes nothing before it has checked everything, and takes out before it puts in: a
-- server that is out of memory refuses a first write that would need more, and lets the rest be.

local META, TASKS, PENDING, SESSION, SCHEDULED, RETRY, AGGREGATING = 1, 2, 3, 4, 5, 6, 7
local ACTIVE, COMPLETED, ARCHIVED, DEAD, PROGRESS, EXPIRING, RETAINED = 8, 9, 10, 11, 12, 13, 14
local UNIQUE, DETAILS, GROUPS, WIDTH = 15, 16, 17, 17
local ALL = {
  TASKS, PENDING, SCHEDULED, RETRY, AGGREGATING, ACTIVE, COMPLETED, ARCHIVED, DEAD, PROGRESS,
  EXPIRING, RETAINED, UNIQUE, DETAILS, GROUPS,
}
local VERSION = 1
local BAR = 124
local REMEMBERED_MS = 60000

local call, sub, byte, format = redis.call, string.sub, string.byte, string.format

local function foreign(key)
  return redis.error_reply('QCORE FOREIGN ' .. key .. ' ' .. call('TYPE', key).ok)
end

-- Return the version of the queue at `base`, false where there is none yet; the error to answer with
-- if that is a newer one, or somebody else's; and what limits it, as META has it.
local function version_of(base)
  local found = redis.pcall('HMGET', KEYS[base + META], 'version', 'limits')
  if found.err then
    return false, foreign(KEYS[base + META])
  end
  local version = found[1]
  if version and (tonumber(version) or VERSION + 1) > VERSION then
    return version, redis.error_reply('QCORE NEWER ' .. version)
  end
  return version, nil, found[2]
end

-- Return the error to answer with if a key of the queue at `base`, which is to be made, is there.
local function occupied(base)
  for key = 1, WIDTH do
    if key ~= SESSION and call('TYPE', KEYS[base + key]).ok ~= 'none' then
      return foreign(KEYS[base + key])
    end
  end
end

-- Return the error to answer with if one of these keys of the queue at `base` holds what is somebody
-- else's: found only when half is written, it would leave tasks in no place.
local function misused(base, keys)
  for i = 1, #keys do
    local key, name, answer = keys[i], KEYS[base + keys[i]], nil
    if key == TASKS or key == PROGRESS or key == UNIQUE or key == DETAILS then
      answer = redis.pcall('HGET', name, '')
    else
      answer = redis.pcall('ZCARD', name)
    end
    if type(answer) == 'table' then
      return foreign(name)
    end
  end
end

local function line_of(number)
  local digits = format('%x', number)
  return string.char(96 + #digits) .. digits
end

-- Return where behind the line of a value or a member the rest begins.
local function rest_of(text)
  return math.max(1, (byte(text) or 0) - 94)
end

-- Return what this very move answered before, if it was made.
local function answered()
  if ARGV[1] == '0' then
    return
  end
  local last = call('GET', KEYS[SESSION])
  local number = ARGV[2] .. ' '
  if last and sub(last, 1, #number) == number then
    -- written, so that whoever waits for replicas waits for what was written before, too
    call('PEXPIRE', KEYS[SESSION], REMEMBERED_MS)
    return sub(last, #number + 1)
  end
end

local function remember(answer)
  call('SET', KEYS[SESSION], ARGV[2] .. ' ' .. answer, 'PX', REMEMBERED_MS)
end

-- Say whether a record is that of an active task with this token; "0" is nobody's.
local function holds(record, token)
  return record and token ~= '0' and (record == token or sub(record, 1, #token + 1) == token .. ' ')
end

-- Return a task's facts as texts: rank, expires ("-" for never), grouped, its unique key
-- (nothing for none); what is usual of one that was tampered with, as an error half way would leave
-- tasks in no place.
local function facts(value)
  local start = rest_of(value)
  if byte(value, start) == BAR then
    return '0', '-', '0', ''
  end
  local rank, expires, grouped, unique =
    string.match(value, '^(-?%d+) (-?%d*%.?%d*) %S+ %S+ ([01][^ |]*) ?([^ |]*)|', start)
  if rank and (expires == '-' or tonumber(expires)) then
    return rank, expires, grouped, unique
  end
  return '0', '-', '0', ''
end

local STATES = { PENDING, ACTIVE, SCHEDULED, RETRY, COMPLETED, DEAD, ARCHIVED, AGGREGATING }

-- Return the sorted set that a task is in, and its score there.
local function where(base, id, value)
  for _, state in ipairs(STATES) do
    local member = state == PENDING and sub(value, 1, rest_of(value) - 1) .. id or id
    local score = call('ZSCORE', KEYS[base + state], member)
    if score then
      return state, score
    end
  end
end

local function earliest(key)
  return call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
end

-- Wake those who wait for the queue at `base`. It is news to them when something is pending where
-- nothing was: who waits has found nothing; and when a moment to wait for is the next.
local function wake(base)
  local meta = KEYS[base + META]
  call('PUBLISH', sub(meta, 1, #meta - 4) .. 'wake', '')
end

local function is_next(key, moment)
  return tonumber(earliest(key)) == tonumber(moment)
end

-- Add scores and members to a sorted set, or do nothing where there are none.
local function add(key, pairs)
  if #pairs > 0 then
    call('ZADD', key, unpack(pairs))
  end
end

local function take_out(key, members)
  if #members > 0 then
    call('ZREM', key, unpack(members))
  end
end

-- Return what stands for a task among those that wait in groups.
local function member_of(grouped, due, id)
  local group = string.gsub(sub(grouped, 2), '%%(%x%x)', function(code)
    return string.char(tonumber(code, 16))
  end)
  return group .. '\1' .. format('%024.9f', due) .. id
end

local function erase(key, fields)
  if #fields > 0 then
    call('HDEL', key, unpack(fields))
  end
end

-- Let go of unique keys, each if this task of the same place in `ids` still has it.
local function let_go(base, uniques, ids)
  if #uniques == 0 then
    return
  end
  local name, free = KEYS[base + UNIQUE], {}
  -- where somebody else's data are, no task has anything
  local holders = redis.pcall('HMGET', name, unpack(uniques))
  for i = 1, #uniques do
    if holders[i] and string.match(holders[i], '^%S+ (.*)$') == ids[i] then
      free[#free + 1] = uniques[i]
    end
  end
  erase(name, free)
end

-- Leave nothing of what is kept of tasks' runs: most queues have none of it.
local function drop_details(base, ids)
  if #ids == 0 or call('EXISTS', KEYS[base + DETAILS]) == 0 then
    return
  end
  local fields = {}
  for i = 1, #ids do
    fields[3 * i - 2], fields[3 * i - 1], fields[3 * i] = 'e' .. ids[i], 'p' .. ids[i], 's' .. ids[i]
  end
  erase(KEYS[base + DETAILS], fields)
end

-- Tell those who follow the queue at `base` which tasks have news: the length of each id, a blank,
-- and the id.
local function tell_news(base, ids)
  if #ids == 0 then
    return
  end
  local meta, told = KEYS[base + META], {}
  for i = 1, #ids do
    told[i] = #ids[i] .. ' ' .. ids[i]
  end
  call('PUBLISH', sub(meta, 1, #meta - 4) .. 'news', table.concat(told))
end

-- Return what limits a queue, nothing where nothing does, of what META has.
local function limits_in(text)
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

-- Return how many tasks limits let be handed out of the queue at `base`, and when the next may start
-- if nothing but the rate keeps it. As domain/queue_limits.py has it, digit for digit.
local function free(base, limits, now)
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
  local pace = limits.per / limits.count
  local tokens = limits.count
  if limits.full > now then
    tokens = math.max(0, math.floor((limits.per - (limits.full - now) + 1e-6) / pace))
  end
  return math.min(left, tokens), limits.full - limits.per + pace
end

local function spend(base, limits, now, taken)
  if limits.count and taken > 0 then
    limits.full = math.max(limits.full, now) + taken * (limits.per / limits.count)
    write_limits(base, limits)
  end
end
