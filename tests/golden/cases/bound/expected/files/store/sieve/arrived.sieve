# What arrives by a copy or a move has not been copied from here.
require ["imap4flags", "imapsieve"];
removeflag "$Copied";
keep;
