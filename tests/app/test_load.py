"""Ten clients at once, fifty requests: all right, none mixed up, memory bounded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.media import read_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PORTRAIT = Path(__file__).resolve().parents[2] / "demos" / "assets" / "astronaut.jpg"
CLIENTS, REQUESTS = 10, 5
SMILES = (-0.4, 0.0, 0.5, 1.0, 1.5)
MOUTH = np.s_[70:92, 95:130]
MARK = np.s_[-12:, :12]


def test_fifty_requests_of_ten_clients(served, tmp_path):
    from gradio_client import Client, handle_file

    from pipelines import ExpressionEditPipeline

    photo = np.asarray(Image.open(PORTRAIT).resize((256, 256), Image.Resampling.LANCZOS))
    prepared = ExpressionEditPipeline().prepare(photo)
    expected = [prepared(shapes={"smile": smile}).image.astype(int) for smile in SMILES]
    apart = [np.abs(a - b)[MOUTH].mean() for k, a in enumerate(expected) for b in expected[:k]]
    assert min(apart) > 2

    def colour(client, k):
        return np.array([25 * client, 50 * k, 255 - 25 * client], np.uint8)

    def work(number):
        client, right = Client(served.url, verbose=False, httpx_kwargs={"timeout": 300}), 0
        for k, smile in enumerate(SMILES):
            marked = photo.copy()
            marked[MARK] = colour(number, k)
            path = tmp_path / f"photo-{number}-{k}.png"
            Image.fromarray(marked).save(path)
            edited, _ = client.predict(source=handle_file(str(path)), shapes={"smile": smile}, api_name="/edit")
            got = read_image(edited).rgb.astype(int)
            assert Path(edited).name == f"photo-{number}-{k}-edited.png"
            assert np.array_equal(got[MARK], np.broadcast_to(colour(number, k), got[MARK].shape))
            errors = [np.abs(got - picture)[MOUTH].mean() for picture in expected]
            assert int(np.argmin(errors)) == k and errors[k] < 1, errors
            right += 1
        return right

    work(0)  # what is made at the first request alone
    before = served.memory()
    with ThreadPoolExecutor(CLIENTS) as pool:
        done = list(pool.map(work, range(CLIENTS)))
    assert done == [REQUESTS] * CLIENTS
    grown = served.memory() - before
    print(f"memory: {before:.0f} MB before, {grown:+.0f} MB after {sum(done)} requests")
    assert grown < 250
