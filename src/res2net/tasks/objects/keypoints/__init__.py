"""Keypoints of objects, such as the joints of people."""
