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

-- What a user submits is completed and made fit for its way before it is signed (RFC 6409, 8): Date and Message-ID are
-- added, and what leaves has lines of at most 998 octets (RFC 5322, 2.1.1), since a server on the way would break longer
-- ones, and the signature with them. Postfix has made bodies of 8 bits fit already. Mail that stays here keeps its lines.
-- Postfix says by the header LEAVES that a recipient is elsewhere; it never leaves this program.
-- Bodies are never changed here: Rspamd 3.12 loses its way when a long reply does not fit into the socket at once.

local LEAVES = 'X-Postboat-Leaves'
local LONGEST = 998
local MOST_OF_A_FIELD = 59000
local MOST_ROUNDS = 10
local util = require 'rspamd_util'

local function too_long(text)
  local at = 1
  while at <= #text do
    local stop = text:find('\n', at, true) or #text + 1
    if stop - at > LONGEST + 1 or (stop - at == LONGEST + 1 and text:byte(stop - 1) ~= 13) then
      return true
    end
    at = stop + 1
  end
  return false
end

-- Take an entity apart: fields {name, text} whose text has all lines of the field, and the body. The body is nil when
-- there is no empty line.
local function parse(entity)
  local fields, at = {}, 1
  while at <= #entity do
    local stop = entity:find('\n', at, true) or #entity
    local line = entity:sub(at, stop):gsub('\r?\n?$', '')
    at = stop + 1
    if line == '' then
      return fields, entity:sub(at)
    end
    local last = fields[#fields]
    if line:find('^[ \t]') and last then
      last.text = last.text .. '\r\n' .. line
    else
      fields[#fields + 1] = { name = (line:match('^([^:]-)%s*:') or ''):lower(), text = line }
    end
  end
  return fields, nil
end

local function write(fields, body)
  local lines = {}
  for _, field in ipairs(fields) do
    lines[#lines + 1] = field.text
  end
  lines[#lines + 1] = ''
  lines[#lines + 1] = body
  return table.concat(lines, '\r\n')
end

local function find(fields, name)
  for _, field in ipairs(fields) do
    if field.name == name then
      return field
    end
  end
  return nil
end

-- Break a line where it has a space, so that its meaning does not change; nil when a word is too long.
local function broken(line)
  local pieces = {}
  while #line > LONGEST do
    local at
    for index = LONGEST, 2, -1 do
      local byte = line:byte(index)
      if (byte == 32 or byte == 9) and line:find('[^ \t]', 1) < index and line:find('[^ \t]', index) then
        at = index
        break
      end
    end
    if not at then
      return nil
    end
    pieces[#pieces + 1] = line:sub(1, at - 1)
    line = line:sub(at)
  end
  pieces[#pieces + 1] = line
  return table.concat(pieces, '\r\n')
end

-- A Subject without spaces as encoded words (RFC 2047): whoever reads them sees the same text.
local function encoded_subject(text)
  local words, rest = {}, text:gsub('^[^:]*:%s*', ''):gsub('\r\n', '')
  while rest ~= '' do
    local length = math.min(#rest, 42)
    while length > 1 and length < #rest and rest:byte(length + 1) >= 128 and rest:byte(length + 1) < 192 do
      length = length - 1
    end
    words[#words + 1] = '=?utf-8?B?' .. tostring(util.encode_base64(rest:sub(1, length))) .. '?='
    rest = rest:sub(length + 1)
  end
  return 'Subject: ' .. table.concat(words, '\r\n ')
end

-- Places where a field may get a space that it does not have: between message ids, and between addresses.
local SEPARATORS = {
  references = { '><', '> <' },
  ['in-reply-to'] = { '><', '> <' },
  to = { ',', ', ' },
  cc = { ',', ', ' },
}

local function folded(field)
  local text = field.text
  local separator = SEPARATORS[field.name]
  if separator and not text:find('"', 1, true) then
    text = text:gsub(separator[1], separator[2])
  end
  local lines = {}
  for line in (text .. '\r\n'):gmatch('(.-)\r\n') do
    local whole = broken(line)
    if not whole then
      return field.name == 'subject' and encoded_subject(field.text) or nil
    end
    lines[#lines + 1] = whole
  end
  return table.concat(lines, '\r\n')
end

-- Fold the fields that are too long; give the name of the first that cannot be.
local function fold(fields)
  for _, field in ipairs(fields) do
    if too_long(field.text) then
      local text = folded(field)
      if not text then
        return field.name
      end
      field.text = text
    end
  end
  return nil
end

-- Tell Postfix what has become of the fields: all of a name are taken away and written anew.
local function edits(before, after)
  local names, remove, add = {}, {}, {}
  local function collect(fields)
    local found = {}
    for _, field in ipairs(fields) do
      found[field.name] = found[field.name] or {}
      table.insert(found[field.name], field)
      names[field.name] = true
    end
    return found
  end
  local old, new = collect(before), collect(after)
  for name in pairs(names) do
    local function texts(found)
      local all = {}
      for _, field in ipairs(found or {}) do
        all[#all + 1] = field.text
      end
      return table.concat(all, '\n')
    end
    if name ~= '' and texts(old[name]) ~= texts(new[name]) then
      if old[name] then
        remove[old[name][1].text:match('^[^:]*'):gsub('%s+$', '')] = 0
      end
      for _, field in ipairs(new[name] or {}) do
        local spelled = field.text:match('^[^:]*')
        add[spelled] = add[spelled] or {}
        table.insert(add[spelled], { value = (field.text:gsub('^[^:]*:%s*', ''):gsub('\r\n', '\n')), order = -1 })
      end
    end
  end
  return remove, add
end

local function add(fields, name, text)
  fields[#fields + 1] = { name = name:lower(), text = name .. ': ' .. text }
end

local function complete(task, fields)
  if not find(fields, 'date') then
    add(fields, 'Date', (util.time_to_string(util.get_time()):gsub('GMT', '+0000')))
  end
  if not find(fields, 'message-id') then
    local from = task:get_from('mime')
    local domain = from and from[1] and from[1].domain or ''
    domain = domain:match('^[%w.-]+$') and domain or 'localhost.invalid'
    add(fields, 'Message-ID', '<' .. util.random_hex(32) .. '@' .. domain:lower() .. '>')
  end
end

-- Postfix cuts longer fields for the sake of milters, in silence: what comes here has 60000 octets at most.
local function cut(fields)
  for _, field in ipairs(fields) do
    if #field.text > MOST_OF_A_FIELD then
      return 'A header field is longer than ' .. MOST_OF_A_FIELD .. ' octets: ' .. field.name
    end
  end
  return nil
end

-- A message that goes in a circle over other servers has a trace of ours for each round.
local function circling(fields, host)
  local rounds = 0
  for _, field in ipairs(fields) do
    if field.name == 'received' and field.text:lower():gsub('%s+', ' '):find(' by ' .. host .. ' ', 1, true) then
      rounds = rounds + 1
    end
  end
  return rounds >= MOST_ROUNDS and 'Mail loop (5.4.0, too many hops): this message was here ' .. rounds .. ' times' or nil
end

rspamd_config:register_symbol({
  name = 'HEADER_LIMITS',
  type = 'prefilter',
  priority = 10,
  flags = 'empty,nostat',
  callback = function(task)
    local fields = parse(tostring(task:get_raw_headers()))
    local host = task:get_request_header('MTA-Name')
    local fault = cut(fields) or (host and circling(fields, tostring(host):lower()))
    if fault then
      task:set_pre_result('reject', fault)
    end
  end,
})

local function refuse(task, place)
  task:set_pre_result('reject', 'A line of this message is longer than 998 octets and cannot be broken: ' .. place)
end

rspamd_config:register_symbol({
  name = 'SUBMISSION',
  type = 'prefilter',
  priority = 9, -- before whatever reads the message
  flags = 'empty,nostat',
  callback = function(task)
    if not task:get_user() then
      return
    end
    local content = tostring(task:get_content())
    local before, body = parse(content)
    local fields = {}
    for _, field in ipairs(before) do
      if field.name ~= LEAVES:lower() then
        fields[#fields + 1] = { name = field.name, text = field.text }
      end
    end
    complete(task, fields)
    if find(before, LEAVES:lower()) and too_long(content) then
      local fault = fold(fields)
      if fault or too_long(body or '') then
        return refuse(task, fault and 'the field ' .. fault or 'the text; send it as quoted-printable')
      end
    end
    local remove, add = edits(before, fields)
    if next(add) then
      task:set_message(write(fields, body or '')) -- what is signed is read from here
      task:set_flag('message_rewrite', false) -- the body is as it was
    end
    task:cache_set('submitted', { remove = remove, add = add }) -- headers.lua makes the one reply of all
  end,
})
