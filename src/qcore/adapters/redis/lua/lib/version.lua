-- Queues of version 2 may have blocks. Those of version 1 are handled alike, and get none.
local VERSION = '2'

local function wrong_type(key)
  return redis.error_reply('QCORE FOREIGN ' .. key .. ' ' .. call('TYPE', key).ok)
end

-- Return the error to reply with where a field of META is none that qcore writes.
local function edited(base, field, value)
  local shown = string.match(value, '^[%w+.-]+$') and #value < 40 and value or 'no_number'
  return redis.error_reply('QCORE EDITED ' .. KEYS[base + META] .. ' ' .. field .. ' ' .. shown)
end

-- Read the meta hash of the queue at `base`. Return its format version, false where the queue does
-- not exist; the error to reply with if a newer qcore wrote it, somebody has edited it, or the key
-- has another type; its limits as they are stored; its last sequence number; and how
-- many tasks are pending more than PENDING has members, as some are in blocks.
local function read_version(base)
  local found = redis.pcall('HMGET', KEYS[base + META], 'version', 'limits', 'sequence', 'packed')
  if found.err then
    return false, wrong_type(KEYS[base + META])
  end
  local version, sequence = found[1], found[3]
  if version and version ~= VERSION and version ~= '1' then
    if not string.match(version, '^[1-9]%d*$') then
      return version, edited(base, 'version', version)
    end
    return version, redis.error_reply('QCORE NEWER ' .. version)
  end
  if sequence and (#sequence > 16 or not string.match(sequence, '^%d+$')) then
    return version, edited(base, 'sequence', sequence)
  end
  -- what somebody has edited into something else counts as none
  local packed = tonumber(found[4] or 0)
  packed = packed and packed > 0 and packed < 1e15 and packed or 0
  return version, nil, found[2], tonumber(sequence or 0), packed
end
