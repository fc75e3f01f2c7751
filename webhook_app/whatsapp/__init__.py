"""What Meta says, as values. No I/O, no clock, no framework may enter this folder."""
