# Beside a full config of mmseg: the mended stack, and our metrics to choose from.
_base_ = ["./zoo_variables.py"]
custom_imports = dict(imports=["mmmaskformer"], allow_failed_imports=False)
