"""One attention map as a picture or a page."""
