-- Duplicate requests are answered from the session's key: see request_dedup.py.
--
-- ARGV[1]: "1" if this request may have been carried out before, else "0". ARGV[2]: its serial
-- number in the session.
local REPLY_TTL_MS = 60000

-- Return the reply to this very request, if it was carried out before.
local function earlier_reply()
  if ARGV[1] == '0' then
    return
  end
  local last = call('GET', KEYS[SESSION])
  local serial = ARGV[2] .. ' '
  if last and sub(last, 1, #serial) == serial then
    -- a write, so that a caller that sends WAIT waits for the replicas to have the first one, too
    call('PEXPIRE', KEYS[SESSION], REPLY_TTL_MS)
    return sub(last, #serial + 1)
  end
end

local function remember_reply(reply)
  call('SET', KEYS[SESSION], ARGV[2] .. ' ' .. reply, 'PX', REPLY_TTL_MS)
end
