"""Statistics over seeds: cells, intervals, paired comparisons, reproduction. Draws nothing."""
