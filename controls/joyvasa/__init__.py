"""JoyVASA (Cao et al. 2024): speech to LivePortrait's motion by diffusion. Needs torch; import the modules by name."""
