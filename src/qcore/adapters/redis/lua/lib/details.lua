-- Delete the run details of tasks. Most queues have none: EXISTS is cheaper than HDEL of three
-- fields a task.
local function delete_details(base, ids)
  if #ids == 0 or call('EXISTS', KEYS[base + DETAILS]) == 0 then
    return
  end
  local fields = {}
  for i = 1, #ids do
    fields[3 * i - 2], fields[3 * i - 1], fields[3 * i] = 'e' .. ids[i], 'p' .. ids[i], 's' .. ids[i]
  end
  delete_fields(KEYS[base + DETAILS], fields)
end
