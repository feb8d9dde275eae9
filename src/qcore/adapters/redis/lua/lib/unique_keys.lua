-- When a successor is due: LAST_MOMENT, until the task whose unique key it waits for has ended.
local NEVER = 253402300799

-- Return until when a successor holds its key once it has it, when it is due then, and its id.
local function parse_successor(value)
  return string.match(value or '', '^(%S+) (%S+) (.*)$')
end

-- Release unique keys, each if the task at the same place in `ids` still holds it; where another
-- task waits for the end of that one, it holds the key from now on, and is due at its own moment.
local function release_unique_keys(base, unique_keys, ids)
  if #unique_keys == 0 then
    return
  end
  local name, released, taken_over, fields = KEYS[base + UNIQUE], {}, {}, {}
  for i, key in ipairs(unique_keys) do
    fields[2 * i - 1], fields[2 * i] = key, '\n' .. key
  end
  -- where the key has another type, no task holds anything
  local found = redis.pcall('HMGET', name, unpack(fields))
  for i, key in ipairs(unique_keys) do
    local holder, successor = found[2 * i - 1], found[2 * i]
    local last, due, id = parse_successor(successor)
    local holds = holder and string.match(holder, '^%S+ (.*)$') == ids[i]
    if id and (holds or id == ids[i]) then
      released[#released + 1] = '\n' .. key
    elseif holds then
      released[#released + 1] = key
    end
    if id and holds then
      taken_over[#taken_over + 1], taken_over[#taken_over + 2] = key, last .. ' ' .. id
      local score = redis.pcall('ZSCORE', KEYS[base + SCHEDULED], id)
      if type(score) == 'string' and tonumber(score) == NEVER then
        call('ZADD', KEYS[base + SCHEDULED], due, id)
        call('HDEL', KEYS[base + PROGRESS], id)
        wake_workers(base)
      end
    end
  end
  delete_fields(name, released)
  if #taken_over > 0 then
    call('HSET', name, unpack(taken_over))
  end
end
