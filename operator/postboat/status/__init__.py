"""Verdicts and observations become the statuses of custom resources here.

A status that says nothing new is not written.
"""
