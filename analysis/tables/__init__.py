"""Tables as values: columns, lines and notes, independent of the output format."""
