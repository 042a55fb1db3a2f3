"""What evaluates: lanes of local searches, refilled, on devices, in processes, by Python, or by a person."""
