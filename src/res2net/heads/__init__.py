"""What sits on a pyramid of features: detectors, and what they are made of."""
