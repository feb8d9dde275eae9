-- Keep what runs of one queue say of themselves.
--
-- ARGV[3]: how many. Then the ids; the tokens; and for each its progress, empty for what there is;
-- "1" if it saves something, else "0"; and what.
-- Answer: for each "1" if it is kept, "0" if its lease is lost.

local _, trouble = version_of(0)
if trouble then
  return trouble
end
trouble = misused(0, { PROGRESS, DETAILS })
if trouble then
  return trouble
end

local number = tonumber(ARGV[3])
local records = call('HMGET', KEYS[PROGRESS], unpack(ARGV, 4, 3 + number))
local answer, fields, news = {}, {}, {}
for i = 1, number do
  local id, at = ARGV[3 + i], 3 + 2 * number + 3 * (i - 1)
  local kept = holds(records[i], ARGV[3 + number + i])
  answer[i] = kept and '1' or '0'
  if kept and ARGV[at + 1] ~= '' then
    fields[#fields + 1] = 'p' .. id
    fields[#fields + 1] = ARGV[at + 1]
    news[#news + 1] = id
  end
  if kept and ARGV[at + 2] == '1' then
    fields[#fields + 1] = 's' .. id
    fields[#fields + 1] = ARGV[at + 3]
  end
end
if #fields > 0 then
  call('HSET', KEYS[DETAILS], unpack(fields))
end
tell_news(0, news)
return table.concat(answer)
