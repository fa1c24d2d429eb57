-- Which key signs a message, looked up when the message is there: a domain that comes or goes needs no reload, and a
-- reload of Rspamd cuts the milter sessions that its old workers still hold. The module dkim_signing asks here.

local util = require 'rspamd_util'

local folder = '/run/postboat/active/dkim/'
local SCRIPTS = 'scripts@mailbox.invalid'

-- The A-labels of a domain (RFC 5890): those of our own stand in a file, and nothing else is signed for.
local function ascii(domain)
  if not domain then
    return nil
  elseif not domain:find('[\128-\255]') then
    return domain:lower()
  end
  local wanted, names = util.lower_utf8(domain), io.open(folder .. 'names')
  for line in names and names:lines() or function() end do
    local unicode, found = line:match('^(%S+) (%S+)$')
    if unicode == wanted then
      names:close()
      return found
    end
  end
  if names then
    names:close()
  end
  return nil
end

local function selector(domain)
  if not domain:match('^%w[%w.-]*$') then
    return nil -- a header can say anything; this becomes a path
  end
  local file = io.open(folder .. domain .. '/selector')
  local found = file and file:read('*l')
  if file then
    file:close()
  end
  return found
end

-- Users sign for the domain of From, unless the envelope names another one. So do their scripts, whose mail comes on
-- port 10026 of Postfix; but a redirect is somebody else's message, which nobody here vouches for.
local function signature(task)
  if task:get_user() == SCRIPTS and task:get_header('X-Sieve-Redirected-From') then
    return nil
  end
  local from, sender = task:get_from('mime') or {}, (task:get_from('smtp') or {})[1] or {}
  local domain = task:get_user() and #from == 1 and ascii(from[1].domain)
  if not domain or (#(sender.addr or '') > 0 and ascii(sender.domain) ~= domain) then
    return nil
  end
  local found = selector(domain)
  return found and { domain = domain, selector = found, key = folder .. domain .. '/key' }
end

rspamd_plugins['postboat'] = { signature = signature }
