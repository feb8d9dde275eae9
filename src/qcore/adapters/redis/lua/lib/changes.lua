-- Tell subscribers of the queue at `base` which tasks have changed: the length of each id, a blank,
-- and the id.
local function publish_changes(base, ids)
  if #ids == 0 then
    return
  end
  local meta, changed = KEYS[base + META], {}
  for i = 1, #ids do
    changed[i] = #ids[i] .. ' ' .. ids[i]
  end
  call('PUBLISH', sub(meta, 1, #meta - 4) .. 'news', table.concat(changed))
end
