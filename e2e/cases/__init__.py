"""One module a family of feature rows; every case is driven by real clients against real pods."""
