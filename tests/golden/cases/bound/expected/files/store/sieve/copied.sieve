# What was copied to another folder is remembered, for a deletion that follows is a move.
require ["imap4flags", "imapsieve"];
addflag "$Copied";
keep;
