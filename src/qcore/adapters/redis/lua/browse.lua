-- List tasks of one queue and state.
--
-- ARGV[3]: the number of the state's key. ARGV[4]: "1" to list from the highest score down.
-- ARGV[5]: how many. ARGV[6], ARGV[7]: the score and member of the last task of the page before,
-- both empty for the first page.
-- Reply: for each task its member, score, value and run record (nil for none).

local _, problem = read_version(0)
if problem then
  return problem
end

local state, backwards, limit = tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
local score, member = ARGV[6], ARGV[7]
local key = KEYS[state]
local rank = backwards and 'ZREVRANK' or 'ZRANK'
local range = backwards and 'ZREVRANGE' or 'ZRANGE'

local start = 0
if score ~= '' then
  local here = call('ZSCORE', key, member)
  if here and tonumber(here) == tonumber(score) then
    start = call(rank, key, member) + 1
  elseif not here then
    -- it has left the state since: add it for a moment, to find the rank it would have
    call('ZADD', key, score, member)
    start = call(rank, key, member)
    call('ZREM', key, member)
  else
    -- it has moved since: put it back for a moment, to count the tasks that were before it; it is
    -- before them itself if it has moved up
    call('ZADD', key, score, member)
    start = call(rank, key, member)
    call('ZADD', key, here, member)
    local ahead = tonumber(here) - tonumber(score)
    if backwards then
      ahead = -ahead
    end
    start = start + (ahead < 0 and 1 or 0)
  end
end

local rows = call(range, key, start, start + limit - 1, 'WITHSCORES')
local reply, ids = {}, {}
for i = 1, #rows, 2 do
  ids[#ids + 1] = state == PENDING and sub(rows[i], end_of_sequence(rows[i])) or rows[i]
end
if #ids == 0 then
  return reply
end
local values = call('HMGET', KEYS[TASKS], unpack(ids))
local records = call('HMGET', KEYS[PROGRESS], unpack(ids))
for i = 1, #ids do
  reply[4 * i - 3] = rows[2 * i - 1]
  reply[4 * i - 2] = rows[2 * i]
  reply[4 * i - 1] = values[i]
  reply[4 * i] = records[i]
end
return reply
