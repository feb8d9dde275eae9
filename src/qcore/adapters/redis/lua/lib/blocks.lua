-- Blocks: runs of pending tasks of priority 0 which PENDING has under one member (keys.py). A block has
-- tasks of up to SPAN sequence numbers, of which the first is a multiple of SPAN; it is the members that
-- these tasks would have in PENDING without it, in their order, one behind the other. All are of one
-- length, as their ids have ID_SIZE bytes, and so have those that qcore makes (encoding.py).
local SPAN, ID_SIZE, BLOCK = 64, 17, '\2'
-- Fewer tasks of one enqueue go into no block; and of a block of which a claim takes fewer, each of the
-- others gets a member of its own, or who claims one by one would write the block each time.
local FEWEST = 8
local opened_blocks = {}

-- Return functions on the blocks of the queue at `base`. They are created when a call needs them, as
-- most calls do not; and they name libraries, as for each name of a script that a function uses Lua looks
-- through all that are used.
local function blocks_of(base)
  if opened_blocks[base] then
    return opened_blocks[base]
  end
  local call, sub = redis.call, string.sub
  local meta, pending, stored = KEYS[base + META], KEYS[base + PENDING], KEYS[base + BLOCKS]
  local blocks = {}
  opened_blocks[base] = blocks

  -- Return the number of the sequence at the beginning of a text, nil where there is none.
  function blocks.number(text)
    return tonumber(sub(text, 2, end_of_sequence(text) - 1), 16)
  end

  -- Return the field of BLOCKS for the block of the task, or with the member, that begins with `text`.
  function blocks.field(text)
    local number = blocks.number(text)
    return number and encode_sequence(number - number % SPAN)
  end

  -- Return the member of PENDING for a block.
  function blocks.member(content)
    return sub(content, 1, end_of_sequence(content) - 1) .. BLOCK
  end

  -- Return the block of the task, or with the member, that begins with `text`, nil where there is none.
  function blocks.read(text)
    local field = blocks.field(text)
    local content = field and call('HGET', stored, field)
    return content and content ~= '' and content or nil
  end

  -- Count tasks that have come into blocks or, less than nothing, have left them; each block counts
  -- as one less, as it is a member of PENDING.
  function blocks.count(number)
    if number ~= 0 and call('HINCRBY', meta, 'packed', number) <= 0 then
      call('HDEL', meta, 'packed')
    end
  end

  -- Return how long the members in a block are.
  function blocks.width(content)
    return end_of_sequence(content) - 1 + ID_SIZE
  end

  -- Return how many tasks are in a block.
  function blocks.size(content)
    return math.ceil(#content / blocks.width(content))
  end

  -- Return the members that the tasks of a block would have in PENDING without it.
  function blocks.members(content)
    local members, width = {}, blocks.width(content)
    for at = 1, #content, width do
      members[#members + 1] = sub(content, at, at + width - 1)
    end
    return members
  end

  -- Return the block of a task whose value or member begins with `text`, and its place in it, if the
  -- task is pending there.
  function blocks.find(id, text)
    local content = #id == ID_SIZE and blocks.read(text)
    if not content then
      return
    end
    local member, width = sub(text, 1, end_of_sequence(text) - 1) .. id, blocks.width(content)
    local at = string.find(content, member, 1, true)
    while at and at % width ~= 1 do
      at = string.find(content, member, at + 1, true)
    end
    if at and call('ZSCORE', pending, blocks.member(content)) then
      return content, at
    end
  end

  -- Store what is left of a block which has been removed: as a block, or each task by itself.
  function blocks.put_back(content, is_dissolved)
    if is_dissolved then
      local added = {}
      for i, each in ipairs(blocks.members(content)) do
        added[2 * i - 1], added[2 * i] = 0, each
      end
      call('ZADD', pending, unpack(added))
    elseif content ~= '' then
      call('HSET', stored, blocks.field(content), content)
      call('ZADD', pending, 0, blocks.member(content))
    end
  end

  local function replace(content, rest, is_dissolved)
    call('ZREM', pending, blocks.member(content))
    call('HDEL', stored, blocks.field(content))
    blocks.put_back(rest, is_dissolved)
    local left = (is_dissolved or rest == '') and 1 or blocks.size(rest)
    blocks.count(left - blocks.size(content))
  end

  -- Return the ids of the first pending tasks, as many as are wanted, and a function that removes so many
  -- of them from PENDING and from blocks.
  function blocks.take_first(wanted)
    local size = math.ceil(wanted / SPAN) + 1
    local members = call('ZRANGE', pending, 0, size - 1)
    local is_full, ids, contents, i = #members == size, {}, {}, 0
    while #ids < wanted and (i < #members or is_full) do
      if i == #members then
        local more = call('ZRANGE', pending, i, i + wanted - #ids - 1)
        is_full = #more == wanted - #ids
        for _, member in ipairs(more) do
          members[#members + 1] = member
        end
      else
        i = i + 1
        local id = sub(members[i], end_of_sequence(members[i]))
        local content = id == BLOCK and blocks.read(members[i])
        if content then
          contents[i] = content
          local width, last = blocks.width(content), #ids
          for at = width - ID_SIZE + 1, math.min(#content, (wanted - last) * width), width do
            last = last + 1
            ids[last] = sub(content, at, at + ID_SIZE - 1)
          end
        else
          ids[#ids + 1] = id
        end
      end
    end
    return ids, function(number)
      local last, left, packed, removed = 0, number, 0, {}
      while left > 0 do
        last = last + 1
        local content = contents[last]
        local tasks = content and blocks.size(content) or 1
        if content then
          removed[#removed + 1] = blocks.field(content)
          packed = packed + tasks - 1
        end
        left = left - tasks
      end
      call('ZREMRANGEBYRANK', pending, 0, last - 1)
      if #removed > 0 then
        call('HDEL', stored, unpack(removed))
      end
      if left < 0 then
        local is_dissolved, content = number < FEWEST, contents[last]
        blocks.put_back(sub(content, left * blocks.width(content)), is_dissolved)
        packed = packed + (is_dissolved and 0 or left + 1)
      end
      blocks.count(-packed)
    end
  end

  -- Remove tasks from PENDING, given as its members, whether they are in blocks or not.
  function blocks.remove(members)
    if call('ZREM', pending, unpack(members)) == #members then
      return
    end
    for _, member in ipairs(members) do
      local content, at = blocks.find(sub(member, end_of_sequence(member)), member)
      if content then
        replace(content, sub(content, 1, at - 1) .. sub(content, at + #member))
      end
    end
  end

  -- Dissolve the block in the midst of which a member belongs that is to be added to PENDING.
  function blocks.make_way(score, member)
    local content = tonumber(score) == 0 and blocks.read(member)
    if content then
      local last = sub(content, #content - blocks.width(content) + 1)
      local number = blocks.number(member)
      if blocks.number(content) < number and number < blocks.number(last) then
        replace(content, content, true)
      end
    end
  end

  return blocks
end
