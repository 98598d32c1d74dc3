"""`artimuse compare`: two finished score tables side by side."""
