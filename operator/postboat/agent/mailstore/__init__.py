"""The inventory of a store, and the port on which the operator reads it and orders mail to be erased.

Only the operator has access, by a token of its own.
"""
