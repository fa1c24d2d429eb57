# What the filter has flagged lies in Junk, and no script of the user sees it: nobody answers spam.
require ["fileinto", "mailbox"];
if header :is "X-Spam" "Yes" {
  fileinto :create "Junk";
  stop;
}
