"""Tasks that predict a value for each pixel."""
