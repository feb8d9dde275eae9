-- Delete fields of a hash, or do nothing where there are none.
local function delete_fields(key, fields)
  if #fields > 0 then
    call('HDEL', key, unpack(fields))
  end
end
