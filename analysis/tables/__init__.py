"""Tables of cells as values: columns, lines, notes and CSV rows, independent of the output format."""
