"""From what a network says to a head on the photo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import UsageError
from studio.observation import Observation

if TYPE_CHECKING:
    from avatars.flame.asset import FlameAsset
    from avatars.flame.camera import PerspectiveCamera
    from avatars.flame.codes import FlameCodes
    from avatars.flame.crop import Crop
    from avatars.rig import Rig
    from pipelines.flame import FlameEngine


@dataclass(frozen=True)
class FlameFace:
    """A photo's face as a FLAME head.

    rig       the person's head at rest in the photo's colours; weights (52,) ARKit: the expression that it wears.
    error     root mean square distance of the 51 inner landmarks from the tracker's, in eye spans.
    codes     what the encoder said (batch of one), None from a model of identity alone (MICA).
    shape     identity coefficients (up to 300,).
    vertices  (V, 3) metres, posed, in the viewer's axes (x right, y up, z towards the viewer); faces (F, 3).
    placed    (V, 3) on the photo: x and y in pixels, z in the same scale, smaller nearer.
    landmarks (68, 2) pixels of the photo: FLAME's, contour first.
    camera    the pinhole that sees the same as the model's weak perspective.
    detail    (256, 256) metres of displacement in texture space, from DECA; None elsewhere.
    size      (width, height) of the photo.
    """

    rig: Rig
    weights: np.ndarray
    error: float
    codes: FlameCodes | None
    shape: np.ndarray
    vertices: np.ndarray
    placed: np.ndarray
    faces: np.ndarray
    landmarks: np.ndarray
    camera: PerspectiveCamera
    size: tuple[int, int]
    detail: np.ndarray | None = None

    def overlay(self, picture: np.ndarray) -> np.ndarray:
        """The shape over the photo (H, W, 3) uint8."""
        from avatars.flame import maps

        return maps.overlay(picture, self._seen(), self.vertices, self.faces)

    def normals(self) -> np.ndarray:
        """(H, W, 3) uint8, as `avatars.flame.maps.normal_picture`."""
        from avatars.flame import maps

        return maps.normal_picture(self._seen(), self.vertices, self.faces)

    def depth(self) -> np.ndarray:
        """(H, W) float32, as `avatars.flame.maps.depth_picture`."""
        from avatars.flame import maps

        return maps.depth_picture(self._seen(), self.placed, self.faces)

    def detailed(self) -> Rig:
        """The head at rest with DECA's wrinkles as a surface of its own, a vertex a texel, in the photo's colours.

        Raises UsageError where there is no detail (another model) or FLAME has no texture coordinates.
        """
        if self.detail is None or len(self.rig.uv) < 3:
            what = "only DECA makes detail" if self.detail is None else "head_template.obj is needed beside FLAME"
            raise UsageError(f"no detail: {what}")
        from avatars.deca.detail import dense_rig

        return dense_rig(self.rig, self.detail)

    def picture(self, name: str, photo: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 for a file: "overlay" on the photo (H, W, 3) uint8, "normals", or "depth" (white is near)."""
        if name == "overlay":
            return self.overlay(photo)
        if name == "normals":
            return self.normals()
        if name == "depth":
            return np.repeat(np.rint(255 * self.depth()).astype(np.uint8)[..., None], 3, 2)
        raise UsageError(f"no picture {name!r} of a head; there are overlay, normals and depth")

    def light(self, picture: np.ndarray) -> np.ndarray:
        """(9, 3) the photo's light as `avatars.flame.lighting`: DECA's own, else what an even skin would be lit by."""
        from avatars.flame.lighting import fit_light
        from avatars.flame.maps import vertex_normals

        if (told := getattr(self.codes, "light", None)) is not None:
            return told[0].double().numpy()
        seen, normals = self._seen(), vertex_normals(self.vertices, self.faces)
        pixel = seen.spread(normals, self.faces)
        facing = seen.cover & (pixel[..., 2] > 0.3)
        if not facing.any():
            raise UsageError("the head lies beyond the picture; it has no light to find")
        colours = picture[facing] / 255
        return fit_light(colours, pixel[facing], np.median(colours, axis=0))

    def relit(self, picture: np.ndarray, light: np.ndarray) -> np.ndarray:
        """The photo (H, W, 3) uint8 with its head under another light (9, 3), such as
        `avatars.flame.lighting.from_direction((1, 0, 0.5))`; the rest stays.
        """
        from avatars.flame.lighting import relit
        from avatars.flame.maps import vertex_normals

        seen = self._seen()
        normals = seen.spread(vertex_normals(self.vertices, self.faces), self.faces)
        return relit(picture, normals, seen.cover, self.light(picture), np.asarray(light, np.float64))

    def _seen(self) -> Any:
        from avatars.flame.maps import drawn

        return drawn(self.placed, self.faces, self.size)


def from_codes(engine: FlameEngine, image: np.ndarray, face: Observation, codes: FlameCodes, crop: Crop) -> FlameFace:
    """The head of codes (one face), as DECA, SMIRK and TEASER see it in their crop."""
    import torch

    from avatars.flame.camera import perspective, project
    from avatars.flame.rig import flame_rig

    codes = codes[:1].detach()
    flame = engine.flame()
    with torch.no_grad():
        head = codes.to(engine.device).head(flame)
        vertices = head.vertices[0].float().cpu().numpy()
        marks = flame.landmarks(head).float().cpu()
        landmarks = crop.on_picture(project(marks, codes.camera)[0].numpy())
        projected = project(torch.from_numpy(vertices)[None], codes.camera)[0].numpy()
    pixel = crop.size / 2 * crop.to_picture[0, 0]  # pixels of the photo per unit of the projection
    placed = np.column_stack([crop.on_picture(projected), projected[:, 2] * pixel])
    shape = codes.shape[0].numpy()
    arkit = engine.arkit()
    rig = flame_rig(engine.asset, shape, arkit)
    weights = arkit.weights_of(codes.expression.numpy(), codes.jaw.numpy(), _numbers(codes.eyelids))[0]
    detail = _detail(engine, codes)
    size = (image.shape[1], image.shape[0])
    return FlameFace(
        rig=_dressed(engine, rig, image, placed, detail),
        weights=weights,
        error=_error(landmarks, face),
        codes=codes,
        shape=shape,
        vertices=vertices,
        placed=placed,
        faces=engine.asset.faces,
        landmarks=landmarks,
        camera=perspective(codes.camera[0].numpy(), crop.to_picture, size, crop=crop.size),
        size=size,
        detail=detail,
    )


def from_shape(engine: FlameEngine, image: np.ndarray, face: Observation) -> FlameFace:
    """The head of an identity alone (MICA): expression and pose are the tracker's, fitted to its landmarks."""
    import torch

    from avatars.facemesh import to_head_frame
    from avatars.flame.camera import FLIP, PerspectiveCamera
    from avatars.flame.correspondence import facemesh_landmarks, origin, person_of
    from avatars.flame.rig import flame_rig
    from avatars.head.measure import measure
    from avatars.mica import aligned, normalised
    from avatars.transfer import similarity

    seen = normalised(aligned(image, face.landmarks)[None]).to(engine.device, getattr(torch, engine.dtype))
    with torch.no_grad():
        shape = engine.network(seen)[0].float().cpu().numpy()
    rig = flame_rig(engine.asset, shape, engine.arkit())
    size = (image.shape[1], image.shape[0])
    weights = measure(face.landmarks.astype(np.float64), size).weights
    person = person_of(engine.asset, shape)
    middle = origin(person)
    marks, numbers = facemesh_landmarks(person)
    shaped = rig.shaped(weights)
    moved = marks - middle + (shaped - rig.neutral)[_nearest(rig.neutral, marks - middle)]
    onto = similarity(moved, to_head_frame(face.landmarks.astype(np.float64))[numbers])
    posed = shaped @ onto.rotation.T
    placed = (onto.scale * posed + onto.shift) * [1.0, -1.0, -1.0]
    landmarks = _own_landmarks(person, shaped + middle) - middle
    landmarks = (onto.scale * landmarks @ onto.rotation.T + onto.shift)[:, :2] * [1.0, -1.0]
    K = np.array([[onto.scale, 0, onto.shift[0]], [0, onto.scale, -onto.shift[1]], [0, 0, 1.0]])  # a metre away
    return FlameFace(
        rig=_dressed(engine, rig, image, placed, None),
        weights=weights.astype(np.float32),
        error=_error(landmarks, face),
        codes=None,
        shape=shape,
        vertices=posed.astype(np.float32),
        placed=placed,
        faces=engine.asset.faces,
        landmarks=landmarks,
        camera=PerspectiveCamera(K, FLIP, np.array([0.0, 0.0, 1.0]), size),
        size=size,
    )


def _dressed(engine: FlameEngine, rig: Rig, image: np.ndarray, placed: np.ndarray, detail: np.ndarray | None) -> Rig:
    """The rig in the photo's colours, with DECA's wrinkles as a normal map."""
    from avatars.flame.texture import with_photo

    fill = None
    if engine.albedo is not None:
        from avatars.flame.albedo_fit import filled_by

        fill = partial(filled_by, engine.albedo)
    rig = with_photo(rig, image, placed, fill=fill)
    if detail is None or len(rig.uv) < 3:
        return rig
    from avatars.deca.detail import normal_map

    skin = replace(rig.materials[0], normal=normal_map(rig, detail))
    return replace(rig, materials=(skin, *rig.materials[1:]))


def _detail(engine: FlameEngine, codes: FlameCodes) -> np.ndarray | None:
    """(256, 256) metres, of an engine with a decoder of detail."""
    import torch

    if engine.detail is None or getattr(codes, "detail", None) is None:
        return None
    with torch.no_grad():
        made = engine.detail.of(codes.to(engine.device, getattr(torch, engine.dtype)))
    return made[0, 0].float().cpu().numpy()


def _numbers(value: Any) -> np.ndarray | None:
    return None if value is None else value.numpy()


def _error(landmarks: np.ndarray, face: Observation) -> float:
    """Root mean square distance of the 51 inner landmarks (of 68, pixels) from the tracker's, eye spans."""
    from avatars.facemesh import POINTS_68

    apart = landmarks[17:, :2] - face.landmarks[POINTS_68[17:], :2]
    return float(np.sqrt((apart**2).sum(1).mean()) / face.eye_span)


def _own_landmarks(person: FlameAsset, vertices: np.ndarray) -> np.ndarray:
    """(68, 3): FLAME's own landmarks on vertices (V, 3) of a head that looks ahead."""
    from avatars.flame.numpy_layer import flame_landmarks

    return flame_landmarks(person, vertices[None], np.eye(3)[None, None].repeat(5, 1))[0]


def _nearest(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N,) the vertex next to each point."""
    apart = ((vertices[None] - points[:, None]) ** 2).sum(2)
    return apart.argmin(1)
