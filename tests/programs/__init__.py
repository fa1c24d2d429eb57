"""The project's own small programs, as far as they decide something."""
