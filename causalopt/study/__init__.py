"""What studies share: reading data, labels, moments, estimates, match graphs."""
