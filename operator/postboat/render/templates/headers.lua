-- What a message says in our name comes from us alone: that it is spam, and the results of checks (RFC 8601, 5). What it
-- brings of that is removed, in whatever way it is written; mail from outside gets our own. All of it is one reply, with
-- what submission.lua has completed: of two replies one is lost, so the module milter_headers is off.

local mime = require 'lua_mime'
local results = require 'lua_auth_results'
local text = require 'lua_util'

local mark, header = 'X-Spam', 'Authentication-Results'
local led_on = 'X-Postboat-Led-On' -- Postfix says by it that a recipient's mail goes on to another server
local host = (rspamd_config:get_all_opt('postboat') or {}).hostname

-- What stands before the first semicolon, without quotes, and with one space for comments and space between words; nil
-- when they do not end (RFC 8601, 2.2).
local function identifier(value)
  local kept, depth, quoted, at = {}, 0, false, 1
  while at <= #value do
    local char = value:sub(at, at)
    if char == '\\' then
      at = at + 1
      char = value:sub(at, at)
      kept[#kept + 1] = depth == 0 and char or ''
    elseif char == '"' and depth == 0 then
      quoted = not quoted
    elseif char == '(' and not quoted then
      depth = depth + 1
    elseif char == ')' and depth > 0 then
      depth = depth - 1
      kept[#kept + 1] = ' '
    elseif char == ';' and depth == 0 and not quoted then
      break
    elseif depth == 0 then
      kept[#kept + 1] = char
    end
    at = at + 1
  end
  if quoted or depth > 0 then
    return nil
  end
  return (table.concat(kept):gsub('[%c%s]+', ' '):gsub('^ ', ''):gsub(' $', ''))
end

-- Ours, or not to be told from ours: names in other scripts, and what no parser would agree about.
local function forged(value)
  local name = identifier(value)
  if not name or name == '' or name:find('[\128-\255]') then
    return true
  end
  if name:sub(1, #host):lower() ~= host then
    return false
  end
  local rest = name:sub(#host + 1)
  return rest:find('^%.?$') ~= nil or rest:find('^%.?[^%w.-]') ~= nil -- a dot, the version of the header, or anything
end

-- The header fields to remove, by number, and what the others say.
local function sorted(task)
  local numbers, kept = {}, {}
  for number, one in ipairs(task:get_header_full(header) or {}) do
    if forged(one.value or '') or forged(one.decoded or '') then
      numbers[#numbers + 1] = number
    else
      kept[#kept + 1] = { order = -1, value = text.fold_header(task, header, one.value, ';') }
    end
  end
  return numbers, kept
end

-- What a script sends on has its mark from when it came, and keeps it.
local function from_script(task)
  return task:cache_get('settings_name') == 'scripts'
end

local function marked(task)
  local action = task:get_metric_action()
  return action ~= 'no action' and action ~= 'greylist'
end

-- What looks like spam goes on to no other server, which would take it for ours. All recipients of the message go
-- without it, so that its sender hears of it.
rspamd_config:register_symbol({
  name = 'LED_ON',
  type = 'postfilter',
  flags = 'empty,nostat,explicit_disable',
  callback = function(task)
    local before, action = from_script(task) and task:get_header(mark), task:get_metric_action()
    local spam = before or action == 'add header' or action == 'rewrite subject'
    if spam and task:get_header(led_on) then
      task:set_pre_result('reject', 'This looks like spam, and such mail is not forwarded to other servers')
    end
  end,
})

-- A reply can remove one field of a name, or all of them: where several are forged, the others are written again, below.
local function changes(task)
  local numbers, kept = sorted(task)
  local values = #numbers > 1 and kept or {}
  if not task:get_user() and task:cache_get('settings_name') ~= 'trusted' then
    task:set_request_header('MTA-Name', host)
    local value = text.fold_header(task, header, results.gen_auth_results(task), ';')
    table.insert(values, 1, { order = 1, value = value })
  end
  local add, remove = {}, { [led_on] = 0, [header] = #numbers > 1 and 0 or numbers[1] }
  local submitted = task:cache_get('submitted') -- what submission.lua has completed
  if submitted then
    for name, number in pairs(submitted.remove) do
      remove[name] = number
    end
    for name, fields in pairs(submitted.add) do
      add[name] = fields
    end
  end
  if #values > 0 then
    add[header] = values
  end
  if not from_script(task) then
    remove[mark] = 0
  end
  if marked(task) then
    add[mark] = 'Yes'
  end
  return { add = add, remove = remove }
end

rspamd_config:register_symbol({
  name = 'OWN_HEADERS',
  type = 'idempotent',
  flags = 'empty,nostat,explicit_disable,ignore_passthrough',
  callback = function(task)
    mime.modify_headers(task, changes(task), 'all') -- another mode than `all` knows one value of a name
  end,
})

-- A mark of ours that a message brings says nothing either.
local flag = config['regexp'] and config['regexp']['SPAM_FLAG']
if flag then
  flag.re = 'X-Spam-Flag=/^(?:yes|true)/Hi || X-Spam-Status=/^(?:yes|true)/Hi'
end
