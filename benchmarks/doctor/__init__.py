"""What this machine has and can do: pinned packages, devices, optional parts, decode rate, advice."""
