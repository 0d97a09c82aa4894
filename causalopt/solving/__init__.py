"""From a program to a verified answer: backends, dispatch, verification."""
