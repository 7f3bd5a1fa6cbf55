"""DECA (Feng et al. 2021): FLAME parameters, texture, light and wrinkles of a face."""
