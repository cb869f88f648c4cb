"""From maps and gold links to numbers: truth, references, metrics, sharpness."""
