"""The command `mmmaskformer` and its sub commands, one module each."""
