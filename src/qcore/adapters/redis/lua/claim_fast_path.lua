-- The fast path of claim.lua: claim the first pending tasks of the only queue asked for, of one and up
-- to 250, if none of them expires or has crashed, and nothing that is scheduled or to be retried is due. That is most of what busy workers claim, and what idle workers
-- are woken for. Any other request goes on to claim.lua behind it, of which nothing is created before:
-- creating its functions takes longer than all of this for one task, and what it does for each of many
-- twice as long.
--
-- KEYS, ARGV and reply are those of claim.lua, and so is the effect: a test compares the two.

if ARGV[1] == '0' and #KEYS == 21 then
  local call, pcall, byte, sub, format = redis.call, redis.pcall, string.byte, string.sub, string.format
  local FEW, wanted, now = 8, tonumber(ARGV[5]), ARGV[3]
  local known = pcall('HMGET', KEYS[1], 'version', 'limits', 'large', 'token', 'sequence', 'packed')
  local last, sequence, packed = known[4] or '0', known[5] or '0', known[6] or '0'
  local fits = (known[1] == '1' or known[1] == '2') and not known[2] and not known[3]
    and #last < 17 and string.match(last, '^%d+$') and tonumber(last) < 9e15
    and #sequence < 17 and string.match(sequence, '^%d+$')
    and #packed < 16 and string.match(packed, '^%d+$')
    and wanted > 0 and wanted <= 250 and wanted <= tonumber(ARGV[8]) and (ARGV[10] or '-') == '-'
  -- with blocks, most often so many members have as many tasks as are wanted: see blocks.lua
  local size = fits and (packed ~= '0' and wanted >= FEW and math.ceil(wanted / 64) + 1 or wanted)
  local members = fits and pcall('ZRANGE', KEYS[3], 0, size - 1) or {}

  -- The index behind the sequence, of all alike; and the fields of blocks.
  local start, fields, is_block = (byte(members[1] or '') or 0) - 94, {}, {}
  for i = 1, #members do
    local member = members[i]
    fits = fits and start > 2 and byte(member) == start + 94
    if fits and #member == start and byte(member, start) == 2 then
      local number = tonumber(sub(member, 2, start - 1), 16) or 0
      local field = format('%x', number - number % 64)
      fields[#fields + 1] = string.char(96 + #field) .. field
      is_block[i] = true
    end
  end
  fits = fits and #members > 0 and (#fields == 0 or wanted >= FEW)
  local contents = fits and #fields > 0 and pcall('HMGET', KEYS[5], unpack(fields)) or {}

  local ids, count, taken, blocks, width, rest = {}, 0, 0, 0, start + 16, nil
  while fits and count < wanted and taken < #members do
    taken = taken + 1
    if is_block[taken] then
      blocks = blocks + 1
      local content = contents[blocks] or ''
      local length, left = #content, (wanted - count) * width
      fits = length > 0 and length % width == 0 and byte(content) == start + 94
      if left < length then
        rest, length = sub(content, left + 1), left
      end
      for at = start, length, width do
        count = count + 1
        ids[count] = sub(content, at, at + 16)
      end
    else
      count = count + 1
      ids[count] = sub(members[taken], start)
    end
  end
  fits = fits and (count == wanted or #members < size)

  if fits and call('EXISTS', KEYS[6], KEYS[7]) > 0 then
    fits = not next(pcall('ZRANGEBYSCORE', KEYS[6], '-inf', now, 'LIMIT', 0, 1))
      and not next(pcall('ZRANGEBYSCORE', KEYS[7], '-inf', now, 'LIMIT', 0, 1))
  end
  local values, is_full = fits and pcall('HMGET', KEYS[2], unpack(ids)) or {}, nil
  for i = 1, count do
    local value = values[i]
    if not value then
      fits = false
      break
    elseif byte(value, start) ~= 124 then
      -- its run record is written in full, as its metadata are not the defaults
      is_full = is_full or {}
      is_full[i] = true
      if not string.find(value, '^%-?%d+ %- %S+ %S+ [01][^ |]* ?[^ |]*|', start) then
        fits = false
        break
      end
    end
  end
  if fits then
    local active, clock, earlier = pcall('ZCARD', KEYS[9]), call('TIME'), nil
    fits = type(active) == 'number' and type(pcall('ZCARD', KEYS[12])) == 'number'
      and type(pcall('ZCARD', KEYS[14])) == 'number'
      and clock[1] + clock[2] / 1e6 <= tonumber(ARGV[7])
    -- each active task has a run record: where there are no more of them, no other task has one
    if count < FEW or pcall('HLEN', KEYS[13]) ~= active then
      earlier = pcall('HMGET', KEYS[13], unpack(ids))
      for i = 1, count do
        local record = earlier[i]
        is_full = is_full or record and {}
        if record then
          is_full[i] = true
        end
        fits = fits and (record == false or record and string.find(record, '^%S+ %d+ %d+ 0 '))
      end
    end
    if fits then
      local before = math.max(tonumber(last), math.floor(math.min(now * 1e6, 4e15)))
      local lease, rows, leases, at, tens = ARGV[4], {}, {}, 0, nil
      local records = is_full and {}
      local digits = count > 1 and { [0] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9' }
      -- with more than FEW of claim.lua, neither is to be a listpack
      local dummy = active <= FEW and active + count > FEW and '\1' .. string.rep(' ', 64)
      if dummy then
        rows, leases, at = { dummy, '' }, { '0', dummy }, 2
      end
      -- what the tokens of ten tasks begin with is formatted once: that costs more than all else of it
      for i = 1, count do
        local id, token, digit = ids[i], before + i, (before + i) % 10
        if count > 1 and (digit == 0 or not tens) then
          tens = token < 10 and '' or format('%d', (token - digit) / 10)
        end
        token = tens and tens .. digits[digit] or format('%d', token)
        if records then
          records[i] = false
          if is_full[i] then
            local record = earlier and earlier[i] or '0 0 0 0 - - - - - -|'
            local attempts, more = string.match(record, '^%S+ (%d+)(.*)$')
            token = token .. format(' %d', attempts + 1) .. more
            records[i] = token
          end
        end
        rows[at + 1], rows[at + 2] = id, token
        leases[at + 1], leases[at + 2] = lease, id
        at = at + 2
      end
      call('ZREMRANGEBYRANK', KEYS[3], 0, taken - 1)
      local first, token = format('%d', before + 1), format('%d', before + count)
      if blocks == 0 then
        call('HSET', KEYS[1], 'token', token)
      else
        call('HDEL', KEYS[5], unpack(fields, 1, blocks))
        if rest then
          call('HSET', KEYS[5], fields[blocks], rest)
          call('ZADD', KEYS[3], '0', sub(rest, 1, start - 1) .. '\2')
          taken = taken - 1
        end
        packed = packed - count + taken
        call('HSET', KEYS[1], 'token', token, 'packed', format('%d', packed))
        if packed <= 0 then
          call('HDEL', KEYS[1], 'packed')
        end
      end
      call('HSET', KEYS[13], unpack(rows))
      call('ZADD', KEYS[9], unpack(leases))
      if dummy then
        call('HDEL', KEYS[13], dummy)
        call('ZREM', KEYS[9], dummy)
      end
      call('SET', KEYS[4], ARGV[2] .. ' 1 ' .. first .. ' ' .. token, 'PX', '60000')
      return { 'done', { { before, ids, values, records or false } } }
    end
  end
end
