"""Tasks, one file each: the wiring of a backbone, a head, losses, a metric and the drawing of results."""
