"""What makes a value for each pixel of a pyramid: decoders, the network around them, and their losses."""
