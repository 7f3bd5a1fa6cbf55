"""The photo avatar: one picture, moved in 2.5D."""

from avatars.photo.avatar import PhotoAvatar, PhotoSettings

__all__ = ["PhotoAvatar", "PhotoSettings"]
