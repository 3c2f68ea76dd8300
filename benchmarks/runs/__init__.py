"""What has run: the registry of all runs, their export, repeating one, and the outside check."""
