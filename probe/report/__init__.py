"""What an alignment probe found: the value, and the forms that it is read in."""
