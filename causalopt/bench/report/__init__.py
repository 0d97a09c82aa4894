"""What runs say: figures from a store, and their forms for the terminal, a page and other programs."""
