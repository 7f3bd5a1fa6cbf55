"""How well FLAME's coefficients become ARKit weights, on a head whose own ARKit shapes are known: ICT-FaceKit.

    python tests/benchmarks/flame_arkit.py        about a minute; needs ICT-FaceKit in the shared folder

ICT's face takes FLAME's place: its expressions, mixed, are the model's directions, its blinks the eyelids. The map is
fitted with the embedded head's shapes, which never saw it. Printed: what the model misses of the shapes carried over,
and how far weights come back off when ICT's own shapes are the truth.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from avatars.flame.arkit import _UNSEEN, fit_arkit  # noqa: E402
from avatars.flame.asset import IDENTITY, Embedding, FlameAsset  # noqa: E402
from studio.arkit import ARKIT  # noqa: E402

SHARED = Path(os.environ.get("FACE_STUDIO_SHARED") or ROOT.parent / "shared")
SUMS, SHAPES = 200, 4


def main() -> int:
    """Print both figures."""
    head, mesh = (dict(np.load(SHARED / f"ict-{name}.npz")) for name in ("facekit", "facemesh"))
    count = int(head["region_ranges"][0, 1])  # the face comes first
    quads = head["quads"]
    triangles = np.concatenate([quads[:, :3], quads[quads[:, 3] >= 0][:, [0, 2, 3]]])
    triangles = triangles[(triangles < count).all(1)].astype(np.int64)
    metres = float(head["metres_per_unit"])
    shapes = head["expression_delta"][:, :count] * float(head["delta_step"]) * metres
    names = head["expression_names"].tolist()
    lids = [names.index("eyeBlink_L"), names.index("eyeBlink_R")]
    rest = [k for k in range(len(names)) if k not in lids]
    mix = np.linalg.qr(np.random.default_rng(0).standard_normal((len(rest), len(rest))))[0]
    asset = _asset(head, mesh, triangles, shapes, rest, lids, mix, metres)
    found = fit_arkit(asset, expressions=len(rest))
    print(f"missed of a shape: {np.nanmedian(found.error):.3f} (median), {np.nanmax(found.error):.3f} (worst)")

    rng, truth = np.random.default_rng(0), np.zeros((SUMS, len(ARKIT)))
    free = np.flatnonzero(~_UNSEEN)
    for row in truth:
        row[rng.choice(free, SHAPES, replace=False)] = rng.uniform(0.2, 0.8, SHAPES)
    own = truth @ head["arkit_to_expression"]
    got = found.weights_of(own[:, rest] @ mix.T, np.zeros((SUMS, 3)), own[:, lids])
    off = np.abs(got - truth)[:, free]
    likeness = np.corrcoef(got[:, free].ravel(), truth[:, free].ravel())[0, 1]
    print(f"weights of {SUMS} sums of {SHAPES}: {off.mean():.4f} off in the mean, correlation {likeness:.3f}")
    return 0


def _asset(head, mesh, triangles, shapes, rest, lids, mix, metres) -> FlameAsset:
    count = shapes.shape[1]
    shapedirs = np.zeros((count, 3, IDENTITY + len(rest)))
    shapedirs[:, :, IDENTITY:] = np.einsum("ms,svc->vcm", mix, shapes[rest])
    weights = np.zeros((count, 5))
    weights[:, 1] = 1
    corner = np.full(count, -1)
    corner[triangles[::-1].ravel()] = np.repeat(np.arange(len(triangles))[::-1], 3)

    def points(vertices: np.ndarray) -> Embedding:
        share = (triangles[corner[vertices]] == vertices[:, None]).astype(float)
        return Embedding(corner[vertices], share / share.sum(1, keepdims=True))

    marks = head["landmarks68"].copy()
    marks[:8], marks[9:17] = head["jawline_right"], head["jawline_left"]
    nearest = mesh["vertex"][np.arange(len(mesh["vertex"])), mesh["barycentric"].argmax(1)]
    numbers = np.flatnonzero((nearest < count) & (corner[np.minimum(nearest, count - 1)] >= 0))[::4]
    contour = points(marks[:17])
    return FlameAsset(
        template=head["neutral"][:count].astype(float) * metres,
        faces=triangles,
        shapedirs=shapedirs,
        posedirs=np.zeros((count, 3, 36)),
        regressor=np.full((5, count), 1 / count),
        weights=weights,
        static=points(marks[17:]),
        dynamic=Embedding(np.tile(contour.triangles, (79, 1)), np.tile(contour.barycentric, (79, 1, 1))),
        mediapipe=points(nearest[numbers]),
        mediapipe_points=numbers,
        eyelids=shapes[lids].astype(float),
    )


if __name__ == "__main__":
    sys.exit(main())
