"""Global least-squares and robust fits, on top of the searches: one data set or many, and how sure they are."""
