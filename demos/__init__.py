"""Front ends: the command line, samples."""
