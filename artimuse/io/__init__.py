"""One way to read bytes from anywhere, and to write a run's output: disks, object stores, web servers.

`stores.py` finds the store of a path or URL, `fetch.py` reads one image, `folder.py` is what a run writes into.
"""
