"""`python -m openretina_cli` is the command `openretina`."""

from openretina_cli.main import command

if __name__ == "__main__":
    command()
