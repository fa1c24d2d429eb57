"""The process of the operator: its start on kopf, its health, who leads, and the hook that uninstalls it."""
