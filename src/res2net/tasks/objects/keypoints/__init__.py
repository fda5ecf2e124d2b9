"""Key points of objects, such as the joints of people."""
