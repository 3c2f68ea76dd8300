"""Networks behind one feature-pyramid interface."""
