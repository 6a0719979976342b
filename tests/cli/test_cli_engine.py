"""Where steps over documents run: flags and the keys of a recipe."""

from __future__ import annotations

import socket

import pytest

from gristmill.cli.flags import Flags
from gristmill.cli.stage import execution_of
from gristmill.core.errors import GristmillError
from gristmill.stages.recipe import check_recipe


def test_flags_go_before_the_recipe() -> None:
    assert execution_of(Flags()).engine == "local"
    recipe = check_recipe({"engine": "ray", "address": "a:1", "data": {"sample-web": {}}}, "r")
    found = execution_of(Flags(), recipe.settings)
    assert found.engine_settings[1:] == ("ray", "a:1")
    flags = Flags(options={"address": "b:2"})
    assert execution_of(flags, recipe.settings).address == "b:2"
    # An address of the recipe says nothing where the flag wants no cluster.
    here = execution_of(Flags(options={"engine": "local"}), recipe.settings)
    assert (here.engine, here.address) == ("local", None)


@pytest.mark.parametrize("form", ["{}", "ray://{}", "nohost"])
def test_a_cluster_that_does_not_answer_is_told_at_once(form: str) -> None:
    pytest.importorskip("ray")
    from gristmill.data.engine.on_ray import _connected

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound and not listening: nobody else can take the port meanwhile.
        address = form.format(f"127.0.0.1:{taken.getsockname()[1]}")
        with (
            pytest.raises(GristmillError, match=f"--address {address}: no Ray cluster answers"),
            _connected(address),
        ):
            pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "dask"}, "--engine: unknown engine 'dask'; give local or ray"),
        ({"address": "a:1"}, "--address: only a Ray cluster has an address; add --engine ray"),
    ],
)
def test_mistakes_are_told(options: dict[str, str | bool], message: str) -> None:
    with pytest.raises(GristmillError) as caught:
        execution_of(Flags(options=options))
    assert caught.value.one_line() == message
