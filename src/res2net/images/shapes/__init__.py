"""A procedural data set: images of textured silhouettes, with the labels of every task."""
