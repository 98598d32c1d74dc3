"""Pages that are one file: templates with their style and script, and what the pages of several verbs are made of."""
