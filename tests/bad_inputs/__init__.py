"""A table of inputs, good and bad, by tool, and what each of them should come to.

    python -m tests.bad_inputs --out table.md

Every row runs in a process that is forked with everything imported, in a folder of its own that
holds a copy of small good inputs (`workspace.py`). `running.py` says what became of it.
"""
