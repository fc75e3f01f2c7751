"""What rules judge by at one time, and how it is read."""
