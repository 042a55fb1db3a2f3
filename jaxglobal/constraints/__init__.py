"""Searches under constraints: the augmented Lagrangian, Newton's method on the KKT system, derivatives."""
