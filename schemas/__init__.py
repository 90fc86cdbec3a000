"""The contracts of the tables: one module each."""
