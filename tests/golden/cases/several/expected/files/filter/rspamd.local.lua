-- Which key signs a message, looked up when the message is there: a domain that comes or goes needs no reload, and a
-- reload of Rspamd cuts the milter sessions that its old workers still hold. The module dkim_signing does the rest.

local folder = '/run/postboat/active/dkim/'

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

rspamd_config:register_symbol({
  name = 'DKIM_KEY',
  type = 'prefilter',
  flags = 'empty,nostat',
  callback = function(task)
    local from = task:get_user() and task:get_from('mime')
    local domain = from and from[1] and from[1].domain and from[1].domain:lower()
    local found = domain and selector(domain)
    if found then
      task:get_mempool():set_variable('dkim_selector', found)
      task:get_mempool():set_variable('dkim_key', folder .. domain .. '/key')
    end
  end,
})
