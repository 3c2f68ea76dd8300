"""The command ``pixelpretext draw-pairs``, run from a checkout."""

from _checkout import run

if __name__ == "__main__":
    run("draw-pairs")
