"""What is learned: one file per objective, its loss a pure function in the same file."""
