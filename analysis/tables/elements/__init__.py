"""The elements of every table: columns and lines, CSV rows, the choice and names of variants."""
