"""Local searches from one start, as state machines that take one evaluation a tick, and their last digits."""
