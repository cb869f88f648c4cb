"""A whole report as one HTML page."""
