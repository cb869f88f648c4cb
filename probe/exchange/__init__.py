"""Maps and links of other tools, read and written."""
