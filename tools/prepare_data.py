"""The command ``pixelpretext prepare-data``, run from a checkout."""

from _checkout import run

if __name__ == "__main__":
    run("prepare-data")
