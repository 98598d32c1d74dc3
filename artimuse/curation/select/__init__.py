"""`artimuse select`: from finished score tables to the images, or pairs, that are kept."""
