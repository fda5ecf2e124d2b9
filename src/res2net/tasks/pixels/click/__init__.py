"""Interactive segmentation by clicks."""
