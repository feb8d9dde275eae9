-- List the entries of one queue, in the order of their ids.
--
-- KEYS: META, and those of its entries. ARGV[3]: the id to start after, empty for the first. ARGV[4]:
-- how many.
-- Reply: for each its id and its value, nil where somebody has removed that.

local _, problem = read_version(0)
problem = problem or check_entry_types(META)
if problem then
  return problem
end

local least = ARGV[3] == '' and '-' or '(' .. ARGV[3]
local ids = call('ZRANGEBYLEX', KEYS[META + ENTRY_IDS], least, '+', 'LIMIT', 0, ARGV[4])
local reply = {}
for i, id in ipairs(ids) do
  reply[2 * i - 1] = id
  reply[2 * i] = call('HGET', KEYS[META + ENTRIES], id)
end
return reply
