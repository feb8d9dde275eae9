-- List tasks of one queue and state.
--
-- ARGV[3]: the number of the state's key. ARGV[4]: "1" to begin with the last. ARGV[5]: how many.
-- ARGV[6], ARGV[7]: score and member to go on behind, both empty to begin.
-- Answer: for each its member, score, value and record (nil for none).

local _, trouble = version_of(0)
if trouble then
  return trouble
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
    -- it has left its state since: it comes back for a moment, to say where it was
    call('ZADD', key, score, member)
    start = call(rank, key, member)
    call('ZREM', key, member)
  else
    call('ZADD', key, score, member)
    start = call(rank, key, member) + 1
    call('ZADD', key, here, member)
  end
end

local rows = call(range, key, start, start + limit - 1, 'WITHSCORES')
local answer, ids = {}, {}
for i = 1, #rows, 2 do
  ids[#ids + 1] = state == PENDING and sub(rows[i], rest_of(rows[i])) or rows[i]
end
if #ids == 0 then
  return answer
end
local values = call('HMGET', KEYS[TASKS], unpack(ids))
local records = call('HMGET', KEYS[PROGRESS], unpack(ids))
for i = 1, #ids do
  answer[4 * i - 3] = rows[2 * i - 1]
  answer[4 * i - 2] = rows[2 * i]
  answer[4 * i - 1] = values[i]
  answer[4 * i] = records[i]
end
return answer
