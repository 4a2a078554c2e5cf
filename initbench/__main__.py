"""`python -m initbench` is the same program as `initbench`."""

from initbench.cli.app import main

if __name__ == "__main__":
    main()
