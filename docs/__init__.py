"""Pages for people; `generate.py` makes those that follow from the code."""
