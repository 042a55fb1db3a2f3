"""What the ends of local searches say: distinct minima, what was not seen yet, and when it is enough."""
