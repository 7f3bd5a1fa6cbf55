"""SMIRK (Retsinas et al. 2024): FLAME parameters of a face, and the neural renderer that draws it anew."""
