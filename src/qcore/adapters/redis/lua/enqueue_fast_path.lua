-- The fast path of enqueue.lua: store tasks that are pending at once, do not expire, and take up to
-- 4,096 bytes, in a queue that exists: one task of priority 0, or so many that those go into blocks.
-- That is most of what is enqueued. Any other request goes on to enqueue.lua behind it, of which nothing is created
-- before: creating its functions takes as long as all of this for one task, and what it does for each
-- of many more than twice as long.
--
-- KEYS, ARGV and reply are those of enqueue.lua, and so is the effect: a test compares the two.

if ARGV[1] == '0' and #ARGV == 6 and ARGV[4] == '-' then
  local call, pcall = redis.call, redis.pcall
  local version = pcall('HGET', KEYS[1], 'version')
  local idle = pcall('ZCARD', KEYS[3])
  local body = ARGV[6]
  local types_fit = #KEYS == 5
    or type(pcall('ZCARD', KEYS[6])) == 'number' and type(pcall('ZCARD', KEYS[8])) == 'number'
    and type(pcall('ZCARD', KEYS[14])) == 'number' and type(pcall('ZCARD', KEYS[18])) == 'number'
  if (version == '1' or version == '2') and type(idle) == 'number' and types_fit and #body <= 4096
    and (string.byte(body) == 124 or string.find(body, '^0 %- %S+ %S+ 0|')) then
    local number = not call('HGET', KEYS[2], ARGV[5]) and pcall('HINCRBY', KEYS[1], 'sequence', '1')
    if version == '2' and idle >= 128 and type(number) == 'number' and number % 64 == 63 then
      -- it is the last of SPAN, whose tasks go into a block: enqueue.lua gives it once more
      call('HINCRBY', KEYS[1], 'sequence', '-1')
    elseif type(number) == 'number' and number > 0 and number < 1e16 then
      local digits = string.format('%x', number)
      local sequence = string.char(96 + #digits) .. digits
      call('HSET', KEYS[2], ARGV[5], sequence .. body)
      call('ZADD', KEYS[3], '0', sequence .. ARGV[5])
      if idle == 0 then
        call('PUBLISH', string.sub(KEYS[1], 1, -5) .. 'wake', '')
      end
      call('SET', KEYS[4], ARGV[2] .. ' ', 'PX', '60000')
      return ''
    end
  end
elseif ARGV[1] == '0' and #ARGV >= 20 and ARGV[4] == '-' then
  local call, pcall, format = redis.call, redis.pcall, string.format
  -- a local is found without a look into the table of globals
  local words = ARGV
  local number = (#ARGV - 4) / 2
  local known = pcall('HMGET', KEYS[1], 'version', 'sequence', 'packed')
  local last, packed = known[2] or '0', known[3] or '0'
  local idle = pcall('ZCARD', KEYS[3])
  local fits = known[1] == '2' and type(idle) == 'number'
    and #last < 16 and string.match(last, '^%d+$') and #packed < 16 and string.match(packed, '^%d+$')
    and (#KEYS == 5
      or type(pcall('ZCARD', KEYS[6])) == 'number' and type(pcall('ZCARD', KEYS[8])) == 'number'
      and type(pcall('ZCARD', KEYS[14])) == 'number' and type(pcall('ZCARD', KEYS[18])) == 'number')
  if fits then
    last, packed = tonumber(last), tonumber(packed)
    local byte, match, ids, scores = string.byte, string.match, {}, {}
    for i = 1, number do
      local id, body = words[3 + 2 * i], words[4 + 2 * i]
      ids[i] = id
      fits = fits and #id == 17 and #body <= 4096
      if fits and byte(body) ~= 124 then
        scores[i] = match(body, '^(%-?%d+) %- %S+ %S+ 0|')
        fits = scores[i]
      end
    end
    -- the numbers of whole blocks, as in enqueue.lua
    local first = math.ceil((last + 1) / 64) * 64
    local fields = {}
    for start = first, first + number - 1, 64 do
      local digits = format('%x', start)
      fields[#fields + 1] = string.char(96 + #digits) .. digits
    end
    local found = fits and pcall('HMGET', KEYS[2], unpack(ids)) or { err = '' }
    local taken = fits and pcall('HMGET', KEYS[5], unpack(fields)) or { err = '' }
    fits = not found.err and not taken.err
    for i = 1, fits and number or 0 do
      fits = fits and not found[i]
    end
    for i = 1, #fields do
      fits = fits and not taken[i]
    end
    if fits then
      local DIGITS = {
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
      }
      local values, pending, blocks, in_blocks = {}, {}, {}, 0
      for n, field in ipairs(fields) do
        local pieces, at, first_member = {}, 0, nil
        for high = 64 * n - 63, math.min(64 * n, number), 16 do
          local digits = format('%x', (first + high - 1) / 16)
          local head = string.char(97 + #digits) .. digits
          for i = high, math.min(high + 15, number) do
            local digit, id, score = DIGITS[i - high + 1], ids[i], scores[i]
            values[2 * i - 1], values[2 * i] = id, head .. digit .. words[4 + 2 * i]
            if not score or score == '0' then
              first_member = first_member or head .. digit
              pieces[at + 1], pieces[at + 2], pieces[at + 3] = head, digit, id
              at = at + 3
            else
              local last_pending = #pending
              pending[last_pending + 1], pending[last_pending + 2] = score, head .. digit .. id
            end
          end
        end
        if at > 0 then
          local last_pending, last_block = #pending, #blocks
          pending[last_pending + 1], pending[last_pending + 2] = '0', first_member .. '\2'
          blocks[last_block + 1], blocks[last_block + 2] = field, table.concat(pieces)
          in_blocks = in_blocks + at / 3 - 1
        end
      end
      call('HSET', KEYS[1], 'sequence', format('%d', first - 1 + 64 * #fields))
      if in_blocks > 0 then
        call('HSET', KEYS[1], 'packed', format('%d', packed + in_blocks))
      end
      -- as in enqueue.lua, where the hash is a listpack, it is converted
      local dummy = call('HLEN', KEYS[2]) < 512 and '\1' .. string.rep(' ', 64)
      if dummy then
        call('HSET', KEYS[2], dummy, '', unpack(values))
        call('HDEL', KEYS[2], dummy)
      else
        call('HSET', KEYS[2], unpack(values))
      end
      call('ZADD', KEYS[3], unpack(pending))
      if #blocks > 0 then
        call('HSET', KEYS[5], unpack(blocks))
      end
      if idle == 0 then
        call('PUBLISH', string.sub(KEYS[1], 1, -5) .. 'wake', '')
      end
      call('SET', KEYS[4], ARGV[2] .. ' ', 'PX', '60000')
      return ''
    end
  end
end
