"""Segmentation of volumes, such as CT scans."""
