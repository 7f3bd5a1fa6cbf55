"""Engines of reconstruction that speak FLAME: DECA, SMIRK, TEASER and MICA, each a photo's face as a FLAME head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.flame_face import FlameFace, from_codes, from_shape
from studio.errors import UsageError, WeightsError, require
from studio.motion import FaceMotion
from studio.observation import Observation

if TYPE_CHECKING:
    from avatars.flame.arkit import ArkitMap
    from avatars.flame.asset import FlameAsset
    from avatars.flame.codes import FlameCodes
    from avatars.flame.crop import Crop
    from avatars.flame.layer import Flame

MODELS = ("deca", "smirk", "teaser", "mica")
"""Published models that make FLAME heads."""

BATCH = 32
"""Frames that a network sees at once."""


@dataclass(frozen=True)
class _Seen:
    """A frame of a video, and the face in it with its crop, where there is one."""

    frame: Any
    face: Observation | None
    crop: Crop | None


@dataclass
class FlameEngine:
    """A picture and a face in it -> `FlameFace`; frames of a video -> `FaceMotion`.

    name     of the published model; asset: FLAME, with landmarks.
    network  the encoder: crops (B, 3, 224, 224) -> codes, or aligned faces -> shape for MICA.
    detail   DECA's decoder of detail, or None. albedo: FLAME's texture space (`avatars.deca.albedo`), or None.
    boxes    whether DECA's crop is made round the face's box, as its authors do with a detector, not round landmarks.
    smooth   frames over which crops of a video are smoothed, see `motion`.
    device, dtype  where and how the network runs; heads are made in float32.
    """

    name: str
    asset: FlameAsset
    network: Any
    detail: Any = None
    device: str = "cpu"
    dtype: str = "float32"
    albedo: Any = None
    boxes: bool = False
    smooth: float = 1.0
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        torch = require("torch", extra="models")
        if self.dtype not in ("float32", "float16", "bfloat16"):
            raise UsageError(f"dtype {self.dtype!r}: float32, float16 or bfloat16")
        for part in (self.network, self.detail):
            if part is not None:
                part.to(device=self.device, dtype=getattr(torch, self.dtype)).eval()

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: str | Path,
        flame: str | Path | FlameAsset | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> FlameEngine:
        """`path_or_name` is one of `MODELS`, or a checkpoint of one (or its folder); `flame` FLAME's file or folder.

        Raises WeightsError for what is missing (it says where the authors give it, under which licence, and where to
        put it) or is another model; MissingExtraError without torch. FLAME_texture.npz (or FLAME_albedo_from_BFM.npz)
        beside FLAME fills in the texture that a photo doesn't show.
        """
        require("torch", extra="models")
        from avatars.flame.asset import FlameAsset, load_flame

        name, path = identified(path_or_name)
        network, detail = _networks(name, path)
        asset = flame if isinstance(flame, FlameAsset) else load_flame(flame)
        albedo = None if isinstance(flame, FlameAsset) or asset.uv is None else _albedo(flame)
        return cls(name, asset, network, detail, device, dtype, albedo)

    def encode(self, pictures: Sequence[np.ndarray], crops: Sequence[Crop]) -> FlameCodes:
        """Codes of B pictures (H, W, 3) uint8 RGB, each with its crop; float32 on the CPU. B may be 0."""
        import torch

        from avatars.flame.codes import joined
        from avatars.flame.crop import cut_out_all

        if self.name == "mica":
            raise UsageError("MICA says who it is, not how the face is held; use deca or smirk")
        parts = []
        for at in range(0, max(len(pictures), 1), BATCH):
            seen = torch.from_numpy(cut_out_all(pictures[at : at + BATCH], crops[at : at + BATCH]))
            with torch.no_grad():
                parts.append(self.network(seen.to(self.device, getattr(torch, self.dtype))).detach())
        return joined(parts)

    def crop(self, face: Observation) -> Crop:
        """The crop that the model's authors make round a face."""
        from avatars.flame.crop import DECA, SMIRK, crop_of, crop_of_box

        if self.boxes and self.name == "deca":
            return crop_of_box(face.box)
        return crop_of(face.landmarks, DECA if self.name == "deca" else SMIRK)

    def __call__(self, image: np.ndarray, face: Observation) -> FlameFace:
        """image (H, W, 3) uint8 RGB."""
        if self.name == "mica":
            return from_shape(self, image, face)
        crop = self.crop(face)
        return from_codes(self, image, face, self.encode([image], [crop]), crop)

    def motion(
        self, seen: Iterable[tuple[Any, Observation | None]], fps: Fraction | int, *, smooth: float = 0.0
    ) -> Iterator[FaceMotion]:
        """The motion of a video in blocks, from its frames (with `image`) and the face in each, or None.

        smooth  frames (standard deviation) over which the crops' place and size are smoothed; 0 looks at each frame
                for itself. Frames wait for four times as many after them.

        A frame without a face keeps the last weights, with confidence 0.
        """
        from avatars.flame.crop import smoothed

        last, reach = FaceMotion.still(1, fps, start=-1), int(np.ceil(4 * smooth))
        waiting: list[_Seen] = []
        before: list[Crop] = []

        def done(count: int) -> FaceMotion:
            nonlocal last, waiting, before
            known = [one for one in waiting if one.crop is not None]
            calm = smoothed([*before, *(one.crop for one in known)], smooth)[len(before) :]  # type: ignore[list-item]
            block, waiting = waiting[:count], waiting[count:]
            before = ([*before, *(one.crop for one in block if one.crop is not None)])[-reach:] if reach else []
            last = self._block(block, calm, last)
            return last

        for frame, face in seen:
            there = face is not None and face.confidence > 0
            waiting.append(_Seen(frame, face if there else None, self.crop(face) if there else None))  # type: ignore[arg-type]
            if len(waiting) == BATCH + reach:
                yield done(BATCH)
        while waiting:
            yield done(BATCH)

    def watch(
        self, path: str | Path, *, fps: Fraction | int | None = None, face: int = 0, smooth: float | None = None
    ) -> Iterator[FaceMotion]:
        """`motion` of a video file, smoothed as the engine says or by `smooth`. face 0 is the largest of the first
        frame that shows so many; fps: the video's own.

        Raises MediaError for what is no video, UsageError for MICA, which sees no motion.
        """
        from controls.tracker import FaceTracker
        from studio.media import Clip

        if self.name == "mica":
            raise UsageError("MICA says who it is, not how the face moves; use deca or smirk")
        clip = Clip.open(Path(path))
        rate = Fraction(fps or clip.fps)
        tracked = FaceTracker(max_faces=face + 1).track(clip.frames_at(rate))
        return self.motion(_chosen(tracked, face), rate, smooth=self.smooth if smooth is None else smooth)

    def _block(self, block: list[_Seen], crops: Sequence[Crop], last: FaceMotion) -> FaceMotion:
        """The motion of frames that follow on `last`; crops of those that show a face, in order."""
        known = [k for k, one in enumerate(block) if one.face is not None]
        codes = self.encode([block[k].frame.image for k in known], crops[: len(known)])
        faces = [one.face for one in block if one.face is not None]
        heads = np.array([face.head for face in faces], np.float32).reshape(-1, 6)
        found = self.arkit().to_motion(codes, last.fps, head=heads)
        weights, head = (np.repeat(table[-1:], len(block), 0) for table in (last.weights, last.head))
        confidence = np.zeros(len(block), np.float32)
        for row, k in enumerate(known):
            weights[k:], head[k:] = found.weights[row], found.head[row]
            confidence[k] = faces[row].confidence
        return FaceMotion(weights, last.fps, head, confidence, start=last.start + len(last))

    def arkit(self) -> ArkitMap:
        """The map between FLAME's expressions and ARKit's shapes."""
        from avatars.flame.arkit import fit_arkit

        if "arkit" not in self._made:
            self._made["arkit"] = fit_arkit(self.asset)
        return self._made["arkit"]

    def flame(self) -> Flame:
        """FLAME's layer (`avatars.flame.layer.Flame`) on the engine's device, for fitting."""
        from avatars.flame.layer import Flame

        if "flame" not in self._made:
            self._made["flame"] = Flame(self.asset).to(self.device)
        return self._made["flame"]


def identified(path_or_name: str | Path) -> tuple[str, Path | None]:
    """(model, path or None) of a name, a checkpoint or its folder. A checkpoint is known by the keys that it holds.

    Raises UsageError for an unknown name, WeightsError for a file that is none of `MODELS`.
    """
    from studio.weights import find, model, open_weights, recognised

    if str(path_or_name) in MODELS:
        return str(path_or_name), None
    path = Path(path_or_name).expanduser()
    if path.is_dir():
        for name in MODELS:
            if find(model(name), given=path) is not None:
                return name, path
        wanted = ", ".join(model(name).file().name for name in MODELS)
        raise WeightsError(f"{path}: no checkpoint of a face model in this folder; looked for {wanted}")
    if not path.is_file():
        raise UsageError(
            f"{path_or_name}: neither a model ({', '.join(MODELS)}, or embedded) nor a file. Name one, or give "
            "its checkpoint"
        )
    known = recognised(open_weights(path))
    if known is None or known.name not in MODELS:
        what = f"it is {known.title}" if known else "nothing in it is known"
        raise WeightsError(f"{path}: no checkpoint of {', '.join(MODELS)}; {what}")
    return known.name, path


def _networks(name: str, path: Path | None) -> tuple[Any, Any]:
    """(encoder, detail decoder or None)."""
    if name == "deca":
        from avatars.deca.decoder import DetailDecoder
        from avatars.deca.encoder import DecaEncoder

        return DecaEncoder.from_pretrained(path), DetailDecoder.from_pretrained(path)
    makers: dict[str, Callable[[], Any]] = {"smirk": _smirk, "teaser": _teaser, "mica": _mica}
    return makers[name]().from_pretrained(path), None


def _albedo(flame: str | Path | None) -> Any:
    """FLAME's texture space where the user has it, else None."""
    from studio.weights import find, model

    given = None if flame is None else Path(flame).expanduser()
    folder = given if given is None or given.is_dir() else given.parent
    path = find(model("flame"), "FLAME_texture.npz", given=folder)
    if path is None:
        return None
    from avatars.deca.albedo import AlbedoModel

    return AlbedoModel.from_pretrained(path)


def _smirk() -> Any:
    from avatars.smirk.encoder import SmirkEncoder

    return SmirkEncoder


def _teaser() -> Any:
    from avatars.teaser.encoder import TeaserEncoder

    return TeaserEncoder


def _mica() -> Any:
    from avatars.mica import MicaEncoder

    return MicaEncoder


def _chosen(tracked: Iterable[tuple[Any, list[Observation]]], face: int) -> Iterator[tuple[Any, Observation | None]]:
    """Each frame and the one face that is followed in it."""
    who = None
    for frame, faces in tracked:
        if who is None and len(faces) > face:
            who = faces[face].face_id
        yield frame, next((one for one in faces if one.face_id == who), None)


__all__ = ["MODELS", "FlameEngine", "identified"]
