"""Platforms become files here: configuration of the daemons, and the directory shards.

Output is canonical: equal platforms give equal bytes, whatever the order of the objects they came from.
"""
