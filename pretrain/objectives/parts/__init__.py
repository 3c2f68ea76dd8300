"""What several objectives share: their base, feature levels, reductions, the queue, the attack."""
