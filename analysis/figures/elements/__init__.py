"""What every figure is drawn with: colours and fonts, marks, and the placing of text."""
