-- List tasks of one queue and state.
--
-- ARGV[3]: the number of the state's key. ARGV[4]: "1" to list from the highest score down.
-- ARGV[5]: how many. ARGV[6], ARGV[7]: the score and member of the last task of the page before,
-- both empty for the first page.
-- Reply: for each task its member, score, value and run record (nil for none).

local _, problem, _, _, packed = read_version(0)
if problem then
  return problem
end

local state, backwards, limit = tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
local score, member = ARGV[6], ARGV[7]
local key = KEYS[state]
local rank = backwards and 'ZREVRANK' or 'ZRANK'
local range = backwards and 'ZREVRANGE' or 'ZRANGE'

-- Return the rank to go on from: that behind the last task of the page before.
local function rank_behind_last()
  local here = call('ZSCORE', key, member)
  if here and tonumber(here) == tonumber(score) then
    return call(rank, key, member) + 1
  end
  -- it has left the state since, or has moved: put it where it was for a moment, to count the tasks that
  -- were before it; it is before them itself if it has moved up
  call('ZADD', key, score, member)
  local before = call(rank, key, member)
  if not here then
    call('ZREM', key, member)
    return before
  end
  call('ZADD', key, here, member)
  local ahead = tonumber(here) - tonumber(score)
  if backwards then
    ahead = -ahead
  end
  return before + (ahead < 0 and 1 or 0)
end

local blocks = state == PENDING and blocks_of(0)

-- Return the rank of the block that has, or has had, the last task of the page before.
local function rank_of_block()
  local content = blocks and tonumber(score) == 0 and blocks.read(member)
  if content and blocks.number(content) <= blocks.number(member) then
    return call('ZRANK', key, blocks.member(content))
  end
end

local start, block = 0, nil
if score ~= '' then
  block = not call('ZSCORE', key, member) and rank_of_block()
  start = block or rank_behind_last()
end

-- Members, scores and ids of the page. Of a block that the page before has ended in, what is up to its
-- last task is passed over.
local members, scores, ids = {}, {}, {}
local function add(row, at, id)
  if #ids < limit then
    members[#ids + 1], scores[#ids + 1], ids[#ids + 1] = row, at, id
  end
end

local function add_block(at, content)
  for _, each in ipairs(blocks.members(content)) do
    if not block or blocks.number(each) > blocks.number(member) then
      add(each, at, sub(each, end_of_sequence(each)))
    end
  end
end

local size = blocks and packed > 0 and math.ceil(limit / SPAN) + 1 or limit
while #ids < limit do
  local rows = call(range, key, start, start + size - 1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    local id = blocks and sub(rows[i], end_of_sequence(rows[i])) or rows[i]
    local content = blocks and id == BLOCK and blocks.read(rows[i])
    if content then
      add_block(rows[i + 1], content)
    else
      add(rows[i], rows[i + 1], id)
    end
    block = nil
  end
  if #rows < 2 * size then
    break
  end
  start, size = start + size, limit
end

local reply = {}
if #ids == 0 then
  return reply
end
local values = call('HMGET', KEYS[TASKS], unpack(ids))
local records = call('HMGET', KEYS[PROGRESS], unpack(ids))
for i = 1, #ids do
  reply[4 * i - 3] = members[i]
  reply[4 * i - 2] = scores[i]
  reply[4 * i - 1] = values[i]
  reply[4 * i] = records[i]
end
return reply
