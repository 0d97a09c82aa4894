"""Designs of experiments and the estimators that go with them."""
