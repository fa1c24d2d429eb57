"""Files become Kubernetes objects here, as bodies for server-side apply.

Each field is written with its value even where that is the default, so that applying again changes nothing.
"""
