"""Face-mask detection: a single-shot face detector, then a classifier on each face."""
