-- Return the name of a task, which is the first item of its options: a text in a MessagePack array.
-- Empty where somebody has edited them into something else.
local function task_name(value)
  local at = (string.find(value, '|', 1, true) or #value) + 1
  local kind = byte(value, at + 1) or 0
  if kind >= 0xa0 and kind <= 0xbf then
    return sub(value, at + 2, at + 1 + kind - 0xa0)
  elseif kind == 0xd9 then
    return sub(value, at + 3, at + 2 + (byte(value, at + 2) or 0))
  elseif kind == 0xda then
    local high, low = byte(value, at + 2, at + 3)
    return sub(value, at + 4, at + 3 + 256 * (high or 0) + (low or 0))
  end
  return ''
end
