-- Return whether a task in a state, that of a sorted set, has not ended; false for no state.
local function is_live(state)
  return state and state ~= COMPLETED and state ~= ARCHIVED and state ~= DEAD
end

-- Return the stored task that holds a unique key, its state and its value, given what UNIQUE has of
-- the key.
local function living_holder(base, key, held, now)
  local last, id = string.match(held or '', '^(%S+) (.*)$')
  -- a moment that is no number counts as passed
  if not id or not (last == '-' or (tonumber(last) or 0) > tonumber(now)) then
    return
  end
  local value = call('HGET', KEYS[base + TASKS], id)
  -- an entry whose task does not exist, or has another key, was left by somebody's edits
  if value and select(4, task_meta(value)) == key then
    local state = find_state(base, id, value)
    if is_live(state) then
      return id, state, value
    end
  end
end

-- Return an id as replies have it.
local function hexadecimal(id)
  return (string.gsub(id, '.', function(each)
    return format('%02x', byte(each))
  end))
end
