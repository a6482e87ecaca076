"""Cost and accuracy of configs of mmseg and mmdet, and published numbers to put beside them."""
