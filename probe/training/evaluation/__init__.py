"""What a student is worth: likelihood of references, responses that it samples, and their scores."""
