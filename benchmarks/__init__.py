"""What serving costs, as ratios measured in one run."""
