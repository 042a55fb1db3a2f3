"""What users call to minimise: arguments are read here, and the parts put together."""
