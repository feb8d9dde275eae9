-- Return the error to reply with if a key of the queue at `base`, which does not exist yet, is
-- there already: somebody else's data.
local function check_unused(base)
  for key = 1, WIDTH do
    if key ~= SESSION and call('TYPE', KEYS[base + key]).ok ~= 'none' then
      return wrong_type(KEYS[base + key])
    end
  end
end
