"""What training on objects needs beyond reading them."""
