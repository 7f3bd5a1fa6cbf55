"""The miniature: its world drawn and told in numbers and words, and its weights as they are shipped."""

import numpy as np
import pytest

from demos.miniature import SIDE
from demos.miniature.album import drawn
from demos.miniature.people import (
    EXPRESSION,
    IDENTITY,
    Moment,
    expression_numbers,
    identity_embedding,
    identity_numbers,
    levels,
    random_expression,
    random_person,
)
from demos.miniature.pictures import Painter, landmark_picture
from studio.arkit import ARKIT, INDEX


def still(weights=None, light="soft", yaw=0.0):
    head = np.array([yaw, 0, 0, 0, 0, 0], np.float32)
    return Moment(np.zeros(52, np.float32) if weights is None else weights, head, light, "grey", (96, 100, 106))


@pytest.fixture(scope="module")
def painter():
    return Painter(np.zeros(len(IDENTITY), np.float32))


def test_a_person_comes_back_from_an_embedding():
    persons = np.stack([random_person(np.random.default_rng(k)) for k in range(5)])
    embedding = identity_embedding(persons)
    assert embedding.shape == (5, 512)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(identity_numbers(3 * embedding), persons, atol=1e-5)


def test_expressions_have_the_layout_of_expression_adapters():
    weights = np.zeros(52, np.float32)
    weights[INDEX["eyeBlinkRight"]], weights[INDEX["jawOpen"]] = 0.7, 0.5
    numbers = expression_numbers(weights)
    assert numbers.shape == (55,)
    np.testing.assert_allclose(numbers[50:], [0, 0.7, 0.15, 0, 0], atol=1e-6)
    others = [name for name in ARKIT if not name.startswith("eyeBlink")]
    assert numbers[others.index("jawOpen")] == 0.5
    assert np.count_nonzero(numbers) == 3
    weights[INDEX["noseSneerLeft"]] = 0.5  # the miniature never saw one
    np.testing.assert_array_equal(expression_numbers(weights), numbers)


def test_levels_are_those_that_were_set():
    weights = np.zeros(52, np.float32)
    for shape in EXPRESSION["brows_up"]:
        weights[INDEX[shape]] = 0.6
    expected = [0.6 if name == "brows_up" else 0 for name in EXPRESSION]
    np.testing.assert_allclose(levels(weights), expected, atol=1e-6)


def test_contradictions_are_not_drawn():
    for seed in range(200):
        now = dict(zip(EXPRESSION, levels(random_expression(np.random.default_rng(seed))), strict=True))
        assert not (now["smile"] and now["frown"])
        assert not (now["brows_up"] and now["brows_down"])


def test_light_comes_from_where_it_is_said(painter):
    halves = {}
    for light in ("left", "right", "above", "below"):
        picture = painter.draw(still(light=light)).picture.astype(float).mean(2)
        middle = SIDE // 2
        halves[light] = picture[26:46, 22:middle].mean() - picture[26:46, middle:42].mean()
    assert halves["left"] > 10 and halves["right"] < -10
    assert abs(halves["above"]) < 5 and abs(halves["below"]) < 5


def test_points_and_normals_belong_to_the_picture(painter):
    wide = np.zeros(52, np.float32)
    wide[INDEX["jawOpen"]] = 1
    shut, opened = painter.draw(still()), painter.draw(still(wide))
    gap = lambda sight: sight.points[66, 1] - sight.points[62, 1]
    assert gap(opened) > gap(shut) + 4
    turned = painter.draw(still(yaw=0.5))
    assert turned.points[30, 0] > shut.points[30, 0] + 3  # the nose's tip moves to the picture's right
    assert (shut.normals[0, 0] == 0).all()
    nose = shut.normals[tuple(np.round(shut.points[30]).astype(int)[::-1])]
    assert nose[2] > 180  # it faces the camera
    assert (landmark_picture(shut.points).max(2) > 0).sum() > 60


def test_the_same_seed_draws_the_same_pictures():
    first, second = drawn(2, 2, 9), drawn(2, 2, 9)
    np.testing.assert_array_equal(first.pictures, second.pictures)
    assert not (first.person[0] == first.person[2]).all()


def test_each_word_of_a_caption_is_one_token(tmp_path):
    pytest.importorskip("transformers")
    from demos.miniature.words import caption, new_tokenizer, vocabulary

    tokenizer = new_tokenizer(tmp_path / "one")
    assert new_tokenizer(tmp_path / "two").get_vocab() == tokenizer.get_vocab()
    assert all(len(tokenizer(word).input_ids) == 3 for word in vocabulary())
    album = drawn(1, 3, 4)
    pick = np.random.default_rng(0)
    for k in range(3):
        text = caption(album, k, pick)
        assert len(tokenizer(text).input_ids) == 2 + len(text.replace(",", " ,").split())


def test_a_caption_says_what_is_there():
    from dataclasses import replace

    from demos.miniature.words import caption

    album = drawn(1, 1, 4)
    weights = np.zeros((1, 52), np.float32)
    for shape in EXPRESSION["smile"]:
        weights[0, INDEX[shape]] = 0.9
    head = np.zeros((1, 6), np.float32)
    head[0, 0] = 0.3
    told = caption(replace(album, weights=weights, head=head, light=np.array([3]), behind=np.array(["blue"])), 0)
    for words in ("smiling broadly", "turned right", "light from above", "blue background"):
        assert words in told


def test_a_training_goes_on_where_it_was(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    from demos.miniature.training import Workers, train

    truth, pick = torch.tensor([[1.0, -2.0, 0.5]]), torch.Generator().manual_seed(0)
    steps: list[int] = []

    def loss_of(share: float, step: int) -> torch.Tensor:
        steps.append(step)
        x = torch.randn(16, 3, generator=pick)
        return (net(x) - x @ truth.T).square().mean()

    options = dict(name="line", workers=Workers(), keep=0.9, report=lambda _: None)

    def go(minutes: float) -> torch.nn.Linear:
        adam = torch.optim.AdamW(net.parameters(), 0.05, weight_decay=0.0)
        return train(net, loss_of, [adam], tmp_path / "line.pt", minutes=minutes, **options)

    net = torch.nn.Linear(3, 1)
    go(0.01)
    first = len(steps)
    assert first > 50 and steps == list(range(first))
    net = torch.nn.Linear(3, 1)
    made = go(0.02)
    assert steps[first] == first // 50 * 50  # from the last checkpoint
    assert torch.allclose(made.weight, truth, atol=0.05)


def test_muon_steps_alike_in_every_direction_and_finds_a_planted_layer() -> None:
    torch = pytest.importorskip("torch")
    from demos.miniature.muon import optimisers, orthogonal

    pick = torch.Generator().manual_seed(0)
    for shape in ((3, 20, 40), (2, 40, 20)):
        steep = torch.randn(shape, generator=pick) * torch.logspace(0, -1, shape[2])
        sizes = torch.linalg.svdvals(orthogonal(steep))
        assert sizes.min() > 0.5 and sizes.max() < 1.3

    net = torch.nn.Sequential(torch.nn.Conv2d(16, 20, 1), torch.nn.Flatten(), torch.nn.Linear(20, 4))
    muon, adam = optimisers(net, 0.02, decay=0.0)
    assert [p.shape for p in muon.param_groups[0]["params"]] == [(20, 16, 1, 1)]
    assert len(adam.param_groups[0]["params"]) == 3  # both biases, and the layer of four rows
    net[2].requires_grad_(False)
    truth = torch.randn(20, 16, generator=pick)
    for step in range(200):
        muon.param_groups[0]["lr"] = 0.2 * (1 - step / 200)
        x = torch.randn(64, 16, 1, 1, generator=pick)
        loss = (net[0](x)[..., 0, 0] - x[..., 0, 0] @ truth.T).square().mean()
        net.zero_grad()
        loss.backward()
        muon.step()
    assert torch.allclose(net[0].weight[..., 0, 0], truth, atol=0.05)
