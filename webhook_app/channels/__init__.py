"""Ways out, one file each. A channel gets a finished notification and never touches the database."""
