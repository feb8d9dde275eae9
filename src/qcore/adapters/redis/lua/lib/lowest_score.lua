local function lowest_score(key)
  return call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
end

local function is_lowest_score(key, score)
  return tonumber(lowest_score(key)) == tonumber(score)
end
