"""Image-to-image translation (pix2pix)."""
