local BAR = 124

-- Return the metadata in front of a task's options, as texts: the negated priority, expires ("-"
-- for never), the group ("0" for none), and the unique key ('' for none). Metadata that somebody
-- has edited and that cannot be parsed count as the defaults: an error half way would leave tasks
-- in no state.
local function task_meta(value)
  local start = end_of_sequence(value)
  if byte(value, start) == BAR then
    return '0', '-', '0', ''
  end
  local neg_priority, expires, group, unique =
    string.match(value, '^(-?%d+) (-?%d*%.?%d*) %S+ %S+ ([01][^ |]*) ?([^ |]*)|', start)
  if neg_priority and (expires == '-' or tonumber(expires)) then
    return neg_priority, expires, group, unique
  end
  return '0', '-', '0', ''
end
