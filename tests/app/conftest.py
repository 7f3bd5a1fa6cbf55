"""The app, served once for all tests of this folder that need it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The running app."""
    pytest.importorskip("gradio", reason='the app needs gradio: pip install "face-studio[demo]"')
    from app_server import Server

    with Server(tmp_path_factory.mktemp("app")) as server:
        yield server


@pytest.fixture
def client(served):
    """A fresh session of gradio_client."""
    from gradio_client import Client

    return Client(served.url, verbose=False, httpx_kwargs={"timeout": 120})  # the machine may be busy
