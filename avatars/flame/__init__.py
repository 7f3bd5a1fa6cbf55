"""FLAME (Li et al. 2017): its files, its layer in torch and NumPy, landmarks, camera, and its place as a `Rig`."""
