"""Files become Kubernetes objects here, as bodies for server-side apply.

Every field that an object states is stated explicitly, so that applying it again changes nothing.
"""
