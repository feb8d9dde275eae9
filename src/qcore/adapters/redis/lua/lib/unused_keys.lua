-- Return the error to reply with if a key of the queue at `base`, which does not exist yet, is
-- there already: somebody else's data; or, where its type is that which qcore gives it, perhaps a
-- queue whose META somebody has edited.
local function check_unused(base)
  local found, unmarked
  for key = 1, WIDTH do
    local kind = key ~= SESSION and call('TYPE', KEYS[base + key]).ok or 'none'
    local is_hash = key == META or key == TASKS or key == BLOCKS or key == PROGRESS or key == UNIQUE
      or key == DETAILS
    if kind ~= 'none' and kind ~= (is_hash and 'hash' or 'zset') then
      found = found or wrong_type(KEYS[base + key])
    elseif kind ~= 'none' then
      unmarked = unmarked or KEYS[base + key]
    end
  end
  if found or not unmarked then
    return found
  end
  return redis.error_reply('QCORE UNMARKED ' .. KEYS[base + META] .. ' ' .. unmarked)
end
