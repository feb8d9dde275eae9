-- Wake the workers that wait for the queue at `base`. They have to be woken when a task is pending
-- where none was, as they have found none, and when a moment becomes the next at which one is due.
local function wake_workers(base)
  local meta = KEYS[base + META]
  call('PUBLISH', sub(meta, 1, #meta - 4) .. 'wake', '')
end
