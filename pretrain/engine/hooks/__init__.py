"""The hooks of every run: progress, checkpoints, skipped files, values that are not finite,
preemption.
"""
