"""Training losses: on raw logits, in two and three dimensions, one idea a file.

This package imports nothing by itself: ``descriptions`` lists what there is, without torch.
"""
