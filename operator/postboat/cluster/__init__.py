"""Access to the API server and to the agents in the mail pods: read, write, watch, ask.

Nothing here decides what a mail platform is. This layer moves objects and reports facts.
"""
