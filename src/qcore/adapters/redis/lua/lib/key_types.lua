-- Return the error to reply with if one of these keys of the queue at `base` has another type than
-- qcore gives it. Redis does not roll a script back: a WRONGTYPE error found half way would leave
-- tasks in no state.
local function check_types(base, keys)
  for i = 1, #keys do
    local key, name, answer = keys[i], KEYS[base + keys[i]], nil
    if key == TASKS or key == BLOCKS or key == PROGRESS or key == UNIQUE or key == DETAILS then
      answer = redis.pcall('HGET', name, '')
    else
      answer = redis.pcall('ZCARD', name)
    end
    if type(answer) == 'table' then
      return wrong_type(name)
    end
  end
end
