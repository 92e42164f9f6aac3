"""Models made of finished ones without a gradient. Each is a directory that loads anywhere."""
