"""Other systems of the paper's tables, made of this package's parts."""
