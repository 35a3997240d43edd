"""nextchar: a lab for character-level language models."""
