"""The tables that `res2net data check` prints."""


def rows(out):
    """Each row of the tables: its first cell, and the others."""
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    return {found[0]: found[1:] for found in cells if len(found) > 1}
