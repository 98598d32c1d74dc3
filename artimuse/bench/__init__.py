"""`artimuse bench`: engines against the limits of the machine they run on.

Except for `run.py`, importable with torch and transformers alone: machines with a GPU to measure on may
have neither Ray nor the command line's packages.
"""
