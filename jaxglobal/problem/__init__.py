"""What is to be minimised: the user's function, traced and closed, in a box, and constraints; one problem or many."""
