-- Return a sequence number as text that sorts as the numbers do: hexadecimal digits behind a letter
-- that says how many there are ("a" for one).
local function encode_sequence(number)
  local digits = format('%x', number)
  return string.char(96 + #digits) .. digits
end

-- Return the index behind the sequence at the beginning of a task's value or of a member of
-- PENDING: 1 where there is none.
local function end_of_sequence(text)
  return math.max(1, (byte(text) or 0) - 94)
end
