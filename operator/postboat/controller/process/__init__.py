"""The process of the operator: start on kopf, health, leader election, and the uninstall hook."""
