# A message that gets the flag \Deleted is copied to Trash, unless it lies there, or was copied elsewhere before: then
# this is the second half of a move.
require ["copy", "environment", "fileinto", "imap4flags", "imapsieve", "mailbox", "variables"];
if anyof (
  environment :is "imap.mailbox" "Trash",
  not environment :contains "imap.changedflags" "\\Deleted",
  not hasflag "\\Deleted",
  hasflag "$Copied"
) {
  stop;
}
set "flags" "";
if hasflag "\\Seen" { set "flags" "${flags} \\Seen"; }
if hasflag "\\Answered" { set "flags" "${flags} \\Answered"; }
if hasflag "\\Flagged" { set "flags" "${flags} \\Flagged"; }
fileinto :copy :create :flags "${flags}" "Trash";
