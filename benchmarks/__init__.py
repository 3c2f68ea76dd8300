"""What a backbone is worth: frozen evaluations, comparisons, pictures and speed."""
