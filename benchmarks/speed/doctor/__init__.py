"""What this machine has and can do: packages, devices, optional parts, decode rate, advice."""
