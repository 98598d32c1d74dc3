"""Pages that are one file: the templates with their style and script, and how they become a page."""
