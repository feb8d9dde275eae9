local VERSION = 1

local function wrong_type(key)
  return redis.error_reply('QCORE FOREIGN ' .. key .. ' ' .. call('TYPE', key).ok)
end

-- Read the meta hash of the queue at `base`. Return its format version, false where the queue does
-- not exist; the error to reply with if a newer qcore wrote it or the key has another type; and its
-- limits as they are stored.
local function read_version(base)
  local found = redis.pcall('HMGET', KEYS[base + META], 'version', 'limits')
  if found.err then
    return false, wrong_type(KEYS[base + META])
  end
  local version = found[1]
  if version and (tonumber(version) or VERSION + 1) > VERSION then
    return version, redis.error_reply('QCORE NEWER ' .. version)
  end
  return version, nil, found[2]
end
