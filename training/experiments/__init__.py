"""One file a table or figure that is reproduced."""
