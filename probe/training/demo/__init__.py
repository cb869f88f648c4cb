"""The recipe of the bundled ``demo``: corpus, two tokenizers, teacher, student and projectors, all from scratch."""
