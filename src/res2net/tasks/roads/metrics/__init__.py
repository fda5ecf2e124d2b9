"""How well graphs of roads agree: APLS, junctions, and pixels with a tolerance."""
