"""What `make bench` runs: the service and its peers under one load, as ratios from one run."""
