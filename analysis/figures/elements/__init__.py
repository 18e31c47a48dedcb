"""The elements of every figure: colours and fonts, marks, and the placing of text."""
