# Flagged mail is treated like any other.
