-- Add scores and members to a sorted set, or do nothing where there are none.
local function add_members(key, pairs)
  if #pairs > 0 then
    call('ZADD', key, unpack(pairs))
  end
end

-- Remove members of a sorted set, or do nothing where there are none.
local function remove_members(key, members)
  if #members > 0 then
    call('ZREM', key, unpack(members))
  end
end
