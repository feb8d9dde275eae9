-- Release unique keys, each if the task at the same place in `ids` still holds it.
local function release_unique_keys(base, unique_keys, ids)
  if #unique_keys == 0 then
    return
  end
  local name, released = KEYS[base + UNIQUE], {}
  -- where the key has another type, no task holds anything
  local holders = redis.pcall('HMGET', name, unpack(unique_keys))
  for i = 1, #unique_keys do
    if holders[i] and string.match(holders[i], '^%S+ (.*)$') == ids[i] then
      released[#released + 1] = unique_keys[i]
    end
  end
  delete_fields(name, released)
end
