"""The training pipeline. It imports the core; the core never imports it. Needs the extra ``train``."""
