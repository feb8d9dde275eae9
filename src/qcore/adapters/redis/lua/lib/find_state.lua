local STATES = { PENDING, ACTIVE, SCHEDULED, RETRY, COMPLETED, DEAD, ARCHIVED, AGGREGATING }

-- Return the sorted set that a task is in, and its score there.
local function find_state(base, id, value)
  for _, state in ipairs(STATES) do
    local member = state == PENDING and sub(value, 1, end_of_sequence(value) - 1) .. id or id
    local score = call('ZSCORE', KEYS[base + state], member)
    if score then
      return state, score
    end
  end
  if #id == ID_SIZE and blocks_of(base).find(id, value) then
    return PENDING, '0'
  end
end
