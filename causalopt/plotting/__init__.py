"""What pictures share: style, ranges, axes."""
