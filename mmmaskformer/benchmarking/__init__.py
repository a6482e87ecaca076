"""Cost and accuracy of any mmseg config, and published numbers to put beside them."""
