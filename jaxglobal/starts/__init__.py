"""Where searches begin: designs that cover the box, and starts that learn from what was found."""
