"""Verdicts and observations become the statuses of custom resources here.

A status that is equal to the written one is not written again.
"""
