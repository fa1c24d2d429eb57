"""The reconcile of one MailServer: its worker and pace, the plan, the keys it needs, and what applies it."""
