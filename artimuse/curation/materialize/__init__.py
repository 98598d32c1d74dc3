"""`artimuse materialize`: the images of a selection, copied in the layout that a trainer reads."""
