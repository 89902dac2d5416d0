"""`python -m poke_bc` is `poke-bc`."""

from poke_bc.cli import main

if __name__ == "__main__":
    main()
