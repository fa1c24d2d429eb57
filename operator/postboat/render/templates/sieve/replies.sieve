# Nobody answers mail that was not sent to an address of his own: to a group, to an address of several, to no address at
# all. The header is what answering machines look for first, and RFC 5230, 4.6 leaves open what else stops them.
require ["editheader", "environment", "index", "subaddress", "variables", "vnd.dovecot.environment"];
set "name" "";
set "domain" "";
if address :index 1 :user :matches "x-original-to" "*" { set :lower "name" "${1}"; }
if address :index 1 :domain :matches "x-original-to" "*" { set :lower "domain" "${1}"; }
if not anyof (
  environment :contains "vnd.dovecot.config.own" ",${name}@${domain},",
  allof (
    environment :is "vnd.dovecot.username" "${name}",
    not environment :contains "vnd.dovecot.config.shared" ",${name}@${domain},"
  )
) {
  # Its second word is for Pigeonhole 2.4.1, which reads the last one with the end of the line.
  addheader "X-Auto-Response-Suppress" "OOF, AutoReply";
}
