"""Roads as graphs: their files, the maps that are learnt from them, and walks along them."""
