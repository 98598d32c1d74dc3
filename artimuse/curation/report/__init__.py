"""`artimuse report`: a page about finished score tables."""
