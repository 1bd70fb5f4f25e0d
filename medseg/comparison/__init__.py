"""One prediction against one truth: counts, boxes, surfaces, distances and pieces, each worked out once."""
