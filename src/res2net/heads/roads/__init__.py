"""Road maps, junction maps and next points on a backbone, and graphs made of them."""
