"""Networks that sit on a backbone: projectors, pixel propagation, feature pyramid."""
