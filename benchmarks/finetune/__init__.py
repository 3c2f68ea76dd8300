"""Fine-tuning for classification: whole networks trained on labels, all of them or a fraction, and evaluated."""
