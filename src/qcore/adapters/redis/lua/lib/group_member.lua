-- Return the member of GROUPS for a task of a group, which is quoted as in a URL.
local function group_member(group, due, id)
  local name = string.gsub(sub(group, 2), '%%(%x%x)', function(code)
    return string.char(tonumber(code, 16))
  end)
  return name .. '\1' .. format('%024.9f', due) .. id
end
