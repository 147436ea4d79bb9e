"""`python -m neuralbox`: the same as the `neuralbox` command."""

from __future__ import annotations

from ._cli import main

if __name__ == "__main__":
    main()
