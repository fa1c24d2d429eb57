"""`kubectl postboat`: what an administrator asks most, answered from custom resources and pods."""
