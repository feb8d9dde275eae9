-- Say whether a run record is that of an active task with this token. "0" is the token of a task
-- that is not active.
local function has_token(record, token)
  return record and token ~= '0' and (record == token or sub(record, 1, #token + 1) == token .. ' ')
end
