"""USD with UsdSkel (Pixar): a mesh with blend shapes on a skeleton, preview materials, animation sampled each frame.

.usdc and .usda lay their pictures into a folder beside the file, .usdz packs all into one. Metres, +Y up.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from avatars.export.gltf import strongest
from avatars.export.gltf_animation import quaternions
from avatars.rig import Joint, Material, Rig
from avatars.shade3d import vertex_normals
from studio.errors import require
from studio.motion import FaceMotion, join

_MOVED = 1e-7  # metres below which a vertex counts as still


def write_usd(
    rig: Rig, path: Path, motion: FaceMotion | Iterable[FaceMotion] | None = None, name: str | None = None
) -> None:
    """Writes the rig; with a motion also an animation of it. `name` is the file's final stem, after which the folder of
    its pictures is called."""
    require("pxr", extra="export")
    whole = None if motion is None else join(motion)
    if path.suffix.lower() == ".usdz":
        _packed(rig, path, whole)
        return
    folder = path.with_name(f"{name or path.stem}_textures")
    there = folder.exists()
    try:
        _stage(rig, path, folder, whole)
    except BaseException:
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _packed(rig: Rig, path: Path, motion: FaceMotion | None) -> None:
    from pxr import Sdf

    with tempfile.TemporaryDirectory() as room:
        inner, folder = Path(room) / "head.usdc", Path(room) / "textures"
        _stage(rig, inner, folder, motion)
        with Sdf.ZipFileWriter.CreateNew(str(path)) as pack:
            pack.AddFile(str(inner), "head.usdc")
            for picture in sorted(folder.glob("*")):
                pack.AddFile(str(picture), f"textures/{picture.name}")


def _stage(rig: Rig, path: Path, folder: Path, motion: FaceMotion | None) -> None:
    from pxr import Sdf, Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetMetadata("comment", "Face Studio; metres, +Y up, facing +Z")
    root = UsdSkel.Root.Define(stage, "/Head")
    stage.SetDefaultPrim(root.GetPrim())
    Usd.ModelAPI(root.GetPrim()).SetKind("component")
    mesh = _mesh(stage, rig)
    _materials(stage, rig, mesh, path.parent, folder)
    names = [_identifier(n) for n in (*rig.shape_names, *(c.name for c in rig.correctives))]
    deltas = [*rig.deltas, *(c.delta for c in rig.correctives)]
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    if names:
        binding.CreateBlendShapesAttr(names)
        targets = [Sdf.Path(f"/Head/Mesh/{name}") for name in names]
        for target, delta in zip(targets, deltas, strict=True):
            moved = np.flatnonzero(np.abs(delta).max(1) > _MOVED)
            shape = UsdSkel.BlendShape.Define(stage, target)
            shape.CreateOffsetsAttr(_vectors(delta[moved]))
            shape.CreatePointIndicesAttr(_integers(moved))
        binding.CreateBlendShapeTargetsRel().SetTargets(targets)
    _skeleton(stage, rig, mesh, binding)
    _animate(stage, rig, names, motion)
    stage.GetRootLayer().Export(str(path))


def _mesh(stage: Any, rig: Rig) -> Any:
    from pxr import Sdf, UsdGeom

    mesh = UsdGeom.Mesh.Define(stage, "/Head/Mesh")
    corners = rig.polygons >= 0
    mesh.CreatePointsAttr(_vectors(rig.neutral))
    mesh.CreateFaceVertexCountsAttr(_integers(corners.sum(1)))
    mesh.CreateFaceVertexIndicesAttr(_integers(rig.polygons[corners]))
    mesh.CreateSubdivisionSchemeAttr("none")
    mesh.CreateNormalsAttr(_vectors(vertex_normals(rig.neutral, rig.triangles)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateDoubleSidedAttr(any(m.double_sided for m in rig.materials))
    low, high = rig.neutral.min(0) - 0.03, rig.neutral.max(0) + 0.03  # shapes stay within
    mesh.CreateExtentAttr(_vectors(np.stack([low, high])))
    st = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    st.Set(_pairs(rig.uv))
    st.SetIndices(_integers(rig.uv_polygons[corners]))
    return mesh


def _materials(stage: Any, rig: Rig, mesh: Any, base: Path, folder: Path) -> None:
    from pxr import UsdGeom, UsdShade

    UsdGeom.Scope.Define(stage, "/Head/Materials")
    for number, material in enumerate(rig.materials):
        faces = np.flatnonzero(rig.material_of == number)
        if not len(faces):
            continue
        made = _material(stage, material, f"/Head/Materials/{_identifier(material.name)}", base, folder)
        subset = UsdGeom.Subset.CreateGeomSubset(
            mesh, _identifier(material.name), UsdGeom.Tokens.face, _integers(faces), "materialBind"
        )
        UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(made)
    UsdGeom.Subset.SetFamilyType(mesh, "materialBind", UsdGeom.Tokens.partition)


def _material(stage: Any, material: Material, place: str, base: Path, folder: Path) -> Any:
    from PIL import Image
    from pxr import Gf, Sdf, UsdShade

    made = UsdShade.Material.Define(stage, place)
    surface = UsdShade.Shader.Define(stage, f"{place}/Surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(float(material.roughness))
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(float(material.metallic))
    colour = surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f)
    if material.texture is None:
        colour.Set(Gf.Vec3f(*map(float, material.colour[:3])))
        if material.blend:
            surface.CreateInput("opacity", Sdf.ValueTypeNames.Float).Set(float(material.colour[3]))
    else:
        folder.mkdir(exist_ok=True)
        picture = folder / f"{_identifier(material.name)}.png"
        Image.fromarray(material.texture).save(picture)
        reader = UsdShade.Shader.Define(stage, f"{place}/UV")
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        texture = UsdShade.Shader.Define(stage, f"{place}/Picture")
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(f"./{picture.relative_to(base).as_posix()}")
        texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
        texture.CreateInput("wrapS", Sdf.ValueTypeNames.Token).Set("clamp")
        texture.CreateInput("wrapT", Sdf.ValueTypeNames.Token).Set("clamp")
        texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(
            reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
        )
        colour.ConnectToSource(texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3))
        if material.blend and material.texture.shape[2] == 4:
            surface.CreateInput("opacity", Sdf.ValueTypeNames.Float).ConnectToSource(
                texture.CreateOutput("a", Sdf.ValueTypeNames.Float)
            )
    made.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    return made


def _skeleton(stage: Any, rig: Rig, mesh: Any, binding: Any) -> None:
    from pxr import Gf, UsdSkel

    skeleton = UsdSkel.Skeleton.Define(stage, "/Head/Skeleton")
    joints = rig.joints or (Joint("root", -1, (0.0, 0.0, 0.0)),)
    skeleton.CreateJointsAttr(_paths(joints))
    place = lambda at: Gf.Matrix4d().SetTranslate(Gf.Vec3d(*map(float, at)))
    skeleton.CreateBindTransformsAttr([place(j.position) for j in joints])
    skeleton.CreateRestTransformsAttr([place(at) for at in _local(joints)])
    weights = rig.skin if rig.joints else np.ones((len(rig.neutral), 1), np.float32)
    number, share = strongest(weights)
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateJointIndicesPrimvar(False, 4).Set(_integers(number.ravel()))
    binding.CreateJointWeightsPrimvar(False, 4).Set(_floats(share.ravel()))
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets(["/Head/Animation"])


def _animate(stage: Any, rig: Rig, names: list[str], motion: FaceMotion | None) -> None:
    from pxr import Gf, UsdSkel, Vt

    animation = UsdSkel.Animation.Define(stage, "/Head/Animation")
    joints = rig.joints or (Joint("root", -1, (0.0, 0.0, 0.0)),)
    animation.CreateJointsAttr(_paths(joints))
    animation.CreateBlendShapesAttr(names)
    rest, count = _local(joints), len(joints)
    still = Vt.QuatfArray([Gf.Quatf(1, 0, 0, 0)] * count)
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * count))
    turns, shifts = animation.CreateRotationsAttr(still), animation.CreateTranslationsAttr(_vectors(rest))
    weights = animation.CreateBlendShapeWeightsAttr(_floats(np.zeros(len(names))))
    if motion is None:
        return
    stage.SetTimeCodesPerSecond(float(motion.fps))
    stage.SetFramesPerSecond(float(motion.fps))
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(max(0, len(motion) - 1))
    head, eyes = rig.joint("head"), [rig.joint("eye_left"), rig.joint("eye_right")]
    values = rig.shape_weights(motion.weights)
    of_head = quaternions(motion.head[:, :3])
    of_eyes = [quaternions(np.column_stack([motion.gaze[:, k], np.zeros(len(motion))])) for k in range(2)]
    quaternion = lambda q: Gf.Quatf(float(q[3]), float(q[0]), float(q[1]), float(q[2]))
    for frame in range(len(motion)):
        turn, shift = list(still), rest.copy()
        if head >= 0:
            turn[head] = quaternion(of_head[frame])
            shift[head] += motion.head[frame, 3:]
        for k, eye in enumerate(eyes):
            if eye >= 0:
                turn[eye] = quaternion(of_eyes[k][frame])
        turns.Set(Vt.QuatfArray(turn), frame)
        shifts.Set(_vectors(shift), frame)
        weights.Set(_floats(values[frame]), frame)


def _paths(joints: tuple[Joint, ...]) -> list[str]:
    out: list[str] = []
    for joint in joints:
        own = _identifier(joint.name)
        out.append(f"{out[joint.parent]}/{own}" if joint.parent >= 0 else own)
    return out


def _local(joints: tuple[Joint, ...]) -> np.ndarray:
    """(J, 3) metres from each joint's parent."""
    at = np.array([j.position for j in joints], np.float64)
    return np.array([at[i] - (at[j.parent] if j.parent >= 0 else 0) for i, j in enumerate(joints)])


def _identifier(name: str) -> str:
    from pxr import Tf

    return Tf.MakeValidIdentifier(name)


def _vectors(values: np.ndarray) -> Any:
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, np.float32))


def _pairs(values: np.ndarray) -> Any:
    from pxr import Vt

    return Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(values, np.float32))


def _floats(values: np.ndarray) -> Any:
    from pxr import Vt

    return Vt.FloatArray.FromNumpy(np.ascontiguousarray(values, np.float32))


def _integers(values: np.ndarray) -> Any:
    from pxr import Vt

    return Vt.IntArray.FromNumpy(np.ascontiguousarray(values, np.int32))
