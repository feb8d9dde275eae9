-- The keys of a queue's entries, in the order of ENTRY_KEYS in keys.py, by their number behind
-- others.
local ENTRIES, ENTRY_IDS, ENTRY_WAKES, ENTRY_WIDTH = 1, 2, 3, 3

-- Return the error to reply with if one of the keys of entries behind KEYS[base] has another type
-- than qcore gives it.
local function check_entry_types(base)
  if type(redis.pcall('HGET', KEYS[base + ENTRIES], '')) == 'table' then
    return wrong_type(KEYS[base + ENTRIES])
  end
  for key = ENTRY_IDS, ENTRY_WAKES do
    if type(redis.pcall('ZCARD', KEYS[base + key])) == 'table' then
      return wrong_type(KEYS[base + key])
    end
  end
end
