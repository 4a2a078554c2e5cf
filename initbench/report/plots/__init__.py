"""Pictures, by matplotlib: one panel or figure a file. Importing this package alone does not import matplotlib."""
