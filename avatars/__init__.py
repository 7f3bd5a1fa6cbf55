"""Whatever a FaceMotion can move: the photo avatar and what it is made of."""
