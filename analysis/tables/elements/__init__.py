"""What every table is made of: columns and lines, CSV rows, the choice and names of variants."""
