-- Delete the details of tasks. Most queues have none: EXISTS is cheaper than HDEL of four
-- fields a task.
local function delete_details(base, ids)
  if #ids == 0 or call('EXISTS', KEYS[base + DETAILS]) == 0 then
    return
  end
  local fields = {}
  for i, id in ipairs(ids) do
    local at = 4 * i - 3
    fields[at], fields[at + 1], fields[at + 2], fields[at + 3] =
      'e' .. id, 'p' .. id, 's' .. id, 'a' .. id
  end
  delete_fields(KEYS[base + DETAILS], fields)
end
