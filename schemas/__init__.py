"""The contracts of the tables: one module each; `catalog.py` lists them."""
