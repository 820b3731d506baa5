"""`python -m openretina_cli` is the command `openretina`."""

from openretina_cli.cli import command

if __name__ == "__main__":
    command()
