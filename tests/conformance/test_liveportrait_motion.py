# ruff: noqa: E402  (torch may be missing)
"""LivePortrait's keypoint rules, crops and sliders give what the original gave."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from liveportrait_recipe import manifest, state, strided, vectors

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from avatars.liveportrait import crop as crops
from avatars.liveportrait import retargeting
from avatars.liveportrait.edit import PortraitEdit, edited
from avatars.liveportrait.hull import hull_multiplier, hull_volume
from avatars.liveportrait.keypoints import pose_of, refine
from avatars.liveportrait.ratios import ratios
from avatars.liveportrait.sliders import slider_change
from avatars.liveportrait.smoothing import STRONG, kalman_smooth
from avatars.liveportrait.transfer import Correctors, Openings, TransferSettings, transfer

SYSTEM = "liveportrait"
RETARGETING = ("eye_retargeting", "lip_retargeting")


@pytest.fixture(scope="module")
def case(shared: Path):
    inputs, expected = vectors(shared, SYSTEM)
    nets = []
    for part, widths in (("stitching", retargeting.STITCHING), ("eye", retargeting.EYE), ("lip", retargeting.LIP)):
        nets.append(retargeting.KeypointMLP(widths).eval())
        nets[-1].load_state_dict(state(shared, SYSTEM, part))

    def raw(who: str) -> dict:
        names = ("kp", "exp", "t", "scale", "pitch", "yaw", "roll")
        return {name: torch.from_numpy(inputs[f"motion.{who}.{name}"]) for name in names}

    with torch.no_grad():
        yield SimpleNamespace(
            inputs=inputs,
            expected=expected,
            correctors=Correctors(*nets),
            raw=raw,
            source_open=Openings(*map(torch.from_numpy, ratios(inputs["motion.source_lmk203"]))),
            driving_open=Openings(*(torch.from_numpy(inputs[f"motion.{n}"]) for n in ("c_eyes", "c_lip"))),
            rules=manifest(shared, SYSTEM),
        )


def close(got, want: np.ndarray, within: float) -> None:
    got = np.asarray(got)
    assert got.shape == want.shape
    assert np.abs(got.astype(np.float64) - want.astype(np.float64)).max() <= within


def test_every_way_of_moving(case) -> None:
    wrong = {}
    for rule in case.rules["motion_cases"]:
        source, driving = pose_of(case.raw("source")), pose_of(case.raw("driving"))
        still, one = rule["source"] == "image", rule["driving"] == "image"
        driving = driving[:1] if one else driving
        settings = TransferSettings(
            source_eyes=rule["source_video_eye_retargeting"],
            **{
                name: rule[name]
                for name in ("relative", "region", "option", "multiplier", "stitching", "normalize_lip", *RETARGETING)
            },
        )
        got = transfer(
            source[:1] if still else source,
            driving,
            driving[:1],
            settings,
            correctors=case.correctors,
            source_open=case.source_open[:1] if still else case.source_open,
            driving_open=case.driving_open[: len(driving)],
            still_driver=one,
            neutral=torch.from_numpy(case.inputs["motion.lip_array"]),
        )
        want = case.expected[f"motion.{rule['name']}.x_d"]
        if got.shape != want.shape or np.abs(got.numpy() - want).max() > 1e-5:
            wrong[rule["name"]] = (got.shape, float(np.abs(got.numpy() - want).max()))
    assert not wrong
    assert len(case.rules["motion_cases"]) >= 27


def test_animals(case) -> None:
    source, driving = pose_of(case.raw("source"))[:1], pose_of(case.raw("driving"))
    got = transfer(source, driving, driving[:1], TransferSettings(animal=True, stitching=False))
    close(got, case.expected["motion.animal.x_d"], 1e-5)


def test_keypoints_of_the_source(case) -> None:
    pose = pose_of(case.raw("source"))
    close(pose.x, case.expected["motion.x_s.video"], 1e-5)
    close(pose[:1].x, case.expected["motion.x_s.image"], 1e-5)
    close(case.source_open.eyes, case.expected["motion.c_s_eyes"], 1e-5)
    close(case.source_open.lips, case.expected["motion.c_s_lip"], 1e-5)


def test_sizes_of_faces(case) -> None:
    sources, firsts = case.inputs["w.kp_source"], case.inputs["w.kp_driving"]
    got = [hull_multiplier(s, f) for s, f in zip(sources, firsts, strict=True)]
    close(np.array(got), case.expected["motion.hull_multiplier"], 1e-5)


def test_volume_of_a_cut_cube() -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    tilted = corners + 1e-4 * np.random.default_rng(0).standard_normal(corners.shape)
    assert hull_volume(tilted) == pytest.approx(1, abs=2e-3)
    assert hull_volume(corners[[0, 1, 2, 4]]) == pytest.approx(1 / 6)


def test_smoothing(case) -> None:
    track = case.inputs["motion.driving.exp"]
    close(kalman_smooth(track), case.expected["smooth.exp.default"], 1e-6)
    close(kalman_smooth(track, STRONG), case.expected["smooth.exp.strong"], 1e-6)


@pytest.mark.parametrize(
    ("name", "points", "settings", "size"),
    [
        ("p203", "pts203", crops.CropSettings(), 512),
        ("p203_norot", "pts203", crops.CropSettings(upright=False), 512),
        ("p203_vx", "pts203", crops.CropSettings(), 512),
        ("p106", "pts106", crops.CropSettings(), 512),
        ("p106_lmk224", "pts106", crops.CropSettings(scale=1.5, up=-0.1), 224),
        ("p68", "pts68", crops.CropSettings(), 512),
        ("p9", "pts9", crops.CropSettings(), 512),
        ("p5", "pts5", crops.CropSettings(), 512),
    ],
)
def test_crops(case, name: str, points: str, settings, size: int) -> None:
    landmarks = case.inputs[f"crop.{points}"]
    crop = crops.crop_of(landmarks, settings, size)
    close(crop.to_crop, case.expected[f"crop.{name}.M_o2c"], 2e-3)
    close(crop.to_picture, case.expected[f"crop.{name}.M_c2o"], 2e-3)
    close(crop.points(landmarks), case.expected[f"crop.{name}.pt_crop"], 0.02)


def test_crop_of_the_worked_example(case) -> None:
    crop = crops.crop_of(case.inputs["crop.pts203"])
    assert crop.angle == pytest.approx(-0.087481, abs=1e-5)
    assert crop.side == pytest.approx(360.20035, abs=1e-3)
    assert crop.centre == pytest.approx((236.90051, 138.02396), abs=1e-3)
    close(np.array(crop.centre), case.expected["crop.p203.center"], 1e-3)
    close(np.array([crop.angle]), case.expected["crop.p203.angle"], 1e-5)
    close(np.array([crop.side, crop.side]), case.expected["crop.p203.size"], 1e-3)


def test_driving_crop(case) -> None:
    crop = crops.crop_of(case.inputs["crop.pts203"], crops.DRIVING)
    close(crop.to_crop, case.expected["crop.driving.M_o2c"], 2e-3)
    close(crop.points(case.inputs["crop.pts203"]), case.expected["crop.driving.lmk_crop"], 0.02)


def test_pixels_of_crop_and_paste(case) -> None:
    image = case.inputs["crop.image_u8"]
    views = case.rules["expected_views"]
    crop = crops.crop_of(case.inputs["crop.pts203"])

    def few_off(got: np.ndarray, name: str) -> None:
        got, want = strided(got, views[name]).astype(int), case.expected[name].astype(int)
        off = np.abs(got - want)
        assert off.max() <= 4
        assert (off > 1).mean() <= 0.02

    few_off(crops.cut_out(image, crop, 256), "crop.p203.img256_u8")
    mask = crops.soft_mask()
    pasted = crops.paste_back(image, crop, 255 - crops.cut_out(image, crop), mask)
    few_off(pasted, "paste.image_u8")


SLIDERS = {
    "eyebrow_pos": {"eyebrow": 1},
    "eyebrow_neg": {"eyebrow": -1},
    "gaze_pos_x": {"gaze_x": 1},
    "gaze_neg_x": {"gaze_x": -1},
    "mov_x": {"move_x": 1},
    "mov_y": {"move_y": 1},
}


def test_sliders(case) -> None:
    names = [name.removeprefix("slider.") for name in case.expected if name.startswith("slider.")]
    assert len(names) == 13
    for name in names:
        got = slider_change(SLIDERS.get(name, {name: 1}))
        close(got, case.expected[f"slider.{name}"], 1e-7)


def test_an_edit_of_everything(case) -> None:
    refined = {name: value[:1] for name, value in refine(case.raw("source")).items()}
    edit = PortraitEdit(
        dict(
            move_x=-0.02, move_y=-0.01, lip0=0.03, lip1=4, lip2=5, lip3=-6, smile=0.8, wink=10, eyebrow=12, gaze_x=8,
            gaze_y=-5,
        ),
        pitch=5, yaw=-7, roll=3, zoom=1.1, eyes=0.45, lips=0.25,
    )  # fmt: skip
    present = case.source_open[:1]
    got = edited(refined, edit, case.correctors, present)
    close(got, case.expected["edit.x_d"], 1e-5)
