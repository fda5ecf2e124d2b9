"""Roads as graphs: what they are, their files, the maps that are learnt from them, and walks along them."""
