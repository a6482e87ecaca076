"""A local web page, and a REST interface, around one model.

The web process knows no torch. It checks what comes from outside and hands the rest to workers,
one process for each device, in which the models live.
"""
